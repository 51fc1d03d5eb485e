"""Write the nginx configuration for given replicas: `render.py --replica HOST:PORT --replica ... > nginx.conf`.

Owns the two marked parts of nginx.conf, the replicas and the address to listen on; the rest is copied as it stands.
Needs Python 3.11 and nothing else.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

SHIPPED = Path(__file__).with_name("nginx.conf")
REPLICAS = ("127.0.0.1:4001", "127.0.0.1:4002")
_REPLICA = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")
_TLS = """\
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:routeiq_tls:1m;
"""


def group(name: str, size: str, replicas: Sequence[str], kept: bool) -> str:
    """One upstream block; `kept` says whether idle connections are kept."""
    servers = "".join(f"        server {replica} max_fails=10 fail_timeout=3s;\n" for replica in replicas)
    keep = "        keepalive 64;\n        keepalive_timeout 4s;\n" if kept else ""
    return f"    upstream {name} {{\n        zone {name} {size};\n        least_conn;\n{servers}{keep}    }}\n"


def replicas_part(replicas: Sequence[str]) -> str:
    """All replicas, and for each of them the others."""
    others = "".join(f'        "~{re.escape(r)}$" routeiq_but_{n};\n' for n, r in enumerate(replicas, 1))
    return (
        group("routeiq", "128k", replicas, True)
        + "\n    # Everybody but the replica that said it is draining.\n"
        + f"    map $upstream_addr $routeiq_others {{\n        volatile;\n        default routeiq;\n{others}    }}\n"
        + "".join(
            group(f"routeiq_but_{n}", "64k", [other for other in replicas if other != replica], False)
            for n, replica in enumerate(replicas, 1)
        )
    )


def between(text: str, part: str, content: str) -> str:
    """The text with the marked part replaced."""
    head, begin, rest = text.partition(f"# {part}: begin\n")
    _, end, tail = rest.partition(f"# {part}: end")
    if not begin or not end:
        raise SystemExit(f"{SHIPPED} has no part marked '# {part}: begin' to '# {part}: end'")
    indent = re.search(r"[ ]*$", head)
    return f"{head}{begin}{content}{indent[0] if indent else ''}{end}{tail}"


def render(replicas: Sequence[str] = REPLICAS, listen: str = "8080", tls: tuple[str, str] | None = None) -> str:
    """The whole configuration; `tls` are the files of the certificate and of its key."""
    wrong = [replica for replica in replicas if not _REPLICA.fullmatch(replica)]
    if wrong or len(replicas) < 2 or len(set(replicas)) < len(replicas):
        raise SystemExit(f"replicas: expected two or more different HOST:PORT, found {', '.join(replicas) or 'none'}")
    listening = f"        listen {listen}{' ssl' if tls else ''} backlog=2048;\n"
    if tls:
        listening += _TLS.format(certificate=tls[0], key=tls[1])
    text = between(SHIPPED.read_text(encoding="utf-8"), "replicas", replicas_part(replicas))
    return between(text, "listen", listening)


def main() -> None:
    """Print the configuration."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replica", action="append", metavar="HOST:PORT", help="a replica; give two or more")
    parser.add_argument("--listen", default="8080", metavar="[ADDRESS:]PORT")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="PEM files; without them plain HTTP")
    given = parser.parse_args()
    tls = (given.tls[0], given.tls[1]) if given.tls else None
    sys.stdout.write(render(given.replica or REPLICAS, given.listen, tls))


if __name__ == "__main__":
    main()
