"""The shipped nginx configuration in a real nginx, over replicas that behave badly on command."""

import asyncio
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.nginx import DEPLOY, Nginx, missing, renderer, running_nginx
from tests.servers.ports import free_port
from tests.servers.upstream import Upstream

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@dataclass
class Scene:
    """nginx, the two replicas behind it, and a client."""

    nginx: Nginx
    one: Upstream
    two: Upstream
    client: httpx.AsyncClient

    def calls(self) -> int:
        return len(self.one.calls) + len(self.two.calls)

    async def post(self, path: str = "/whole", body: bytes = b"{}", **headers: str) -> httpx.Response:
        return await self.client.post(path, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with Upstream() as one, Upstream() as two:
        with running_nginx([one.address, two.address], tmp_path) as nginx:
            async with httpx.AsyncClient(base_url=nginx.url, timeout=20) as client:
                yield Scene(nginx, one, two, client)


def test_the_shipped_file_is_what_is_rendered() -> None:
    """Rendering with nothing given yields the shipped file to the letter, so what is tested is what is shipped."""
    assert renderer().render() == (DEPLOY / "nginx.conf").read_text(encoding="utf-8")


@pytest.mark.parametrize("replicas", [["a:1"], ["a:1", "a:1"], ["a:1", "b"], ["a:1", "b:1; include x"]])
def test_replicas_that_make_no_sense_are_refused(replicas: list[str]) -> None:
    """Fewer than two, the same twice, or anything that is not HOST:PORT ends with what was expected."""
    with pytest.raises(SystemExit, match="two or more different HOST:PORT"):
        renderer().render(replicas)


async def test_every_replica_has_its_share_and_connections_are_kept(scene: Scene) -> None:
    """Requests one after the other go to both replicas over few connections."""
    for _ in range(20):
        assert (await scene.post()).status_code == 200
    assert min(len(scene.one.calls), len(scene.two.calls)) >= 5
    assert scene.one.connections + scene.two.connections <= 8


async def test_the_replica_with_fewer_streams_gets_the_next_request(scene: Scene) -> None:
    """While streams are open on one replica, new requests go to the other: least connections."""
    scene.two.draining = True
    streams = []
    for _ in range(3):
        streams.append(await scene.client.send(scene.client.build_request("POST", "/stream"), stream=True))
    scene.two.draining = False
    scene.two.calls.clear()
    for _ in range(3):
        assert (await scene.post()).json()["port"] == scene.two.port
    assert len(scene.two.calls) == 3
    for stream in streams:
        await stream.aclose()


async def test_events_leave_as_they_come(scene: Scene) -> None:
    """The first event is with the client before the replica has sent the second."""
    async with scene.client.stream("POST", "/stream") as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"data: first\n\n"
        scene.one.go.set()
        scene.two.go.set()
        assert await anext(pieces) == b"data: [DONE]\n\n"


async def test_a_replica_that_is_gone_costs_no_request(scene: Scene) -> None:
    """Where the connection is refused a POST goes to the next replica, whole."""
    await scene.one.close()
    answers = [await scene.post(body=b"x" * 5_000) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["bytes"] for answer in answers} == {5_000}


async def test_what_a_replica_may_have_taken_is_not_sent_again(scene: Scene) -> None:
    """A POST whose replica dies with it is answered with 502 and a reason, and no other replica sees it."""
    answer = await scene.post("/die", x_request_id="mine-1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "replica_unreachable")
    assert answer.headers["x-request-id"] == "mine-1"
    assert scene.calls() == 1


async def test_what_changes_nothing_is_sent_again(scene: Scene) -> None:
    """A GET whose replica dies with it is tried on the other."""
    assert (await scene.client.get("/die")).status_code == 502
    assert (len(scene.one.calls), len(scene.two.calls)) == (1, 1)


async def test_a_draining_replica_hands_over(scene: Scene) -> None:
    """What a draining replica refuses is answered by the other, with its body, and the client sees nothing of it."""
    scene.one.draining = True
    answers = await asyncio.gather(*(scene.post(body=b"y" * 200_000) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert {(answer.json()["port"], answer.json()["bytes"]) for answer in answers} == {(scene.two.port, 200_000)}
    assert scene.one.calls
    assert not any("x-accel-redirect" in answer.headers for answer in answers)


async def test_when_all_drain_the_client_is_told(scene: Scene) -> None:
    """With no replica left the last refusal is the answer, after two tries and not more."""
    scene.one.draining = scene.two.draining = True
    answer = await scene.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    assert scene.calls() == 2


async def test_a_busy_replica_is_believed(scene: Scene) -> None:
    """A 503 that is not of a drain goes to the client as it is: to send the request on would double an overload."""
    answer = await scene.post("/busy")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert answer.headers["retry-after"] == "2"
    assert scene.calls() == 1


async def test_a_client_cannot_use_the_way_of_a_drain(scene: Scene) -> None:
    """The header in which nginx offers to take a refused request on is nginx's own, whatever a client sends."""
    answer = await scene.post(X_RouteIQ_Drain_Redirect="/metrics")
    assert answer.json()["headers"]["x-routeiq-drain-redirect"] == "@draining"


async def logged(scene: Scene) -> dict[str, Any]:
    """The only request in nginx's log, which is written after the answer."""
    async with asyncio.timeout(60):
        while not (found := scene.nginx.requests()):
            await asyncio.sleep(0.02)
    return found[-1]


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2:3_x", True), ("a b", False), ("x" * 129, False), (None, False)])
async def test_the_request_id_passes_or_is_made(scene: Scene, given: str | None, kept: bool) -> None:
    """A usable id goes through; any other is replaced, and replica, client and log all have the same one."""
    answer = await scene.post(**({"x_request_id": given} if given else {}))
    inside = answer.json()["headers"]["x-request-id"]
    assert (inside == given) if kept else re.fullmatch("[0-9a-f]{32}", inside)
    assert answer.headers.get_list("x-request-id") == [inside]
    assert (await logged(scene))["id"] == inside


async def test_trace_context_passes(scene: Scene) -> None:
    """`traceparent` and `b3` reach the replica as they were sent."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    inside = (await scene.post(traceparent=parent, b3="0")).json()["headers"]
    assert (inside["traceparent"], inside["b3"]) == (parent, "0")


async def test_a_client_that_leaves_is_noticed(scene: Scene) -> None:
    """When the client goes, the replica's connection ends at once, so that it can cancel the provider's call."""
    async with scene.client.stream("POST", "/stream") as answer:
        await anext(answer.aiter_bytes())
    took = scene.one if scene.one.calls else scene.two
    await asyncio.wait_for(took.left.wait(), 10)


async def test_bodies_have_a_limit(scene: Scene) -> None:
    """Over 50 MB is refused in JSON before a replica sees it; images of some megabytes pass."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.client.base_url.port)
    writer.write(f"POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: {51 << 20}\r\n\r\n".encode())
    refused = await asyncio.wait_for(reader.read(4_096), 20)
    writer.close()
    assert refused.startswith(b"HTTP/1.1 413 ")
    assert b"body_too_large" in refused
    assert scene.calls() == 0
    assert (await scene.post(body=b"z" * (8 << 20))).json()["bytes"] == 8 << 20


async def test_a_reload_cuts_nothing(scene: Scene) -> None:
    """A stream that is open when nginx reads its configuration again goes on to its end."""
    async with scene.client.stream("POST", "/stream") as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        scene.nginx.reload()
        await asyncio.sleep(0.3)
        assert (await scene.post()).status_code == 200
        scene.one.go.set()
        scene.two.go.set()
        assert await anext(pieces) == b"data: [DONE]\n\n"


async def test_metrics_are_not_for_everybody(scene: Scene) -> None:
    """The metrics of one replica chosen at random are of no use, and are not shown."""
    assert (await scene.client.get("/metrics")).status_code == 404
    assert scene.calls() == 0


async def test_a_key_does_not_reach_the_access_log(scene: Scene) -> None:
    """Neither the query string nor the authorization header is logged."""
    await scene.client.get("/whole?key=sk-secret-1", headers={"authorization": "Bearer sk-secret-2"})
    assert (await logged(scene))["status"] == 200
    assert "sk-secret" not in (scene.nginx.folder / "access.log").read_text()


async def test_tls_ends_at_nginx(tmp_path: Path) -> None:
    """With a certificate nginx speaks TLS 1.2 and later, and the replica is told so."""
    files = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    trust = ssl.create_default_context(cafile=files[0])
    async with Upstream() as one:
        with running_nginx([one.address, f"127.0.0.1:{free_port()}"], tmp_path, files) as nginx:
            async with httpx.AsyncClient(base_url=nginx.url, verify=trust, timeout=20) as client:
                assert (await client.post("/whole")).json()["headers"]["x-forwarded-proto"] == "https"


def test_the_renderer_is_a_command(tmp_path: Path) -> None:
    """`python deploy/nginx/render.py` prints a configuration that nginx accepts."""
    command = [sys.executable, str(DEPLOY / "render.py"), "--listen", "127.0.0.1:9080"]
    command += [part for n in range(3) for part in ("--replica", f"10.0.0.{n}:4000")]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    (tmp_path / "nginx.conf").write_text(text)
    check = ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=30)
    assert (done.returncode, "successful" in done.stderr) == (0, True), done.stderr
