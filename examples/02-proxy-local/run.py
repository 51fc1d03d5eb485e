"""A gateway on this machine: a provider that needs no key, LiteLLM with RouteIQ in front of it, four prompts.

Everything that is started is stopped again. Needs: pip install 'routeiq-router[demo]'
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from openai import OpenAI

from routeiq.testing.replay.process import ReplayProcess

CONFIG = Path(__file__).with_name("config.yaml")
PROMPTS = [("auto", "What is 17 times 23?"), ("auto", "Name a prime."), ("auto", "Say hello."), ("large", "Say hello.")]


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(url: str, gateway: subprocess.Popen, limit_s: float = 180) -> None:
    """Return when the gateway takes requests."""
    deadline = time.monotonic() + limit_s
    while gateway.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/_health/ready", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.25)
    raise SystemExit("the gateway did not start; gateway.log says why")


def ask(url: str, key: str) -> None:
    """Send the prompts and show who answered, and why."""
    client = OpenAI(base_url=f"{url}/v1", api_key=key)
    for model, prompt in PROMPTS:
        answer = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": prompt}]
        )
        served, reason = answer.headers["x-routeiq-model"], answer.headers["x-routeiq-reason"]
        print(f"{prompt:<22} asked {model:<6} served by {served:<6} because: {reason}")


def main(folder: Path) -> None:
    """Run the gateway in a folder, which keeps its log and its outcomes."""
    key, url = "sk-" + secrets.token_hex(16), f"http://127.0.0.1:{free_port()}"
    config = folder / "config.yaml"
    if not config.exists():
        config.write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    with ReplayProcess.start() as provider, (folder / "gateway.log").open("wb") as log:
        environment = {**os.environ, "PROVIDER_URL": provider.openai_base_url, "LITELLM_MASTER_KEY": key}
        command = [sys.executable, "-m", "routeiq", "serve", "--config", str(config)]
        command += ["--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1]]
        gateway = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(url, gateway)
            ask(url, key)
        finally:
            gateway.terminate()
            gateway.wait(60)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
