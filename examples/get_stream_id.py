#!/usr/bin/env python3
"""Open a stream through the gateway and print its id, which the gateway's answer carries in `X-MCP-STREAM-ID`.

    python examples/get_stream_id.py --url http://localhost:4000 --key "$LITELLM_MASTER_KEY" --model auto
    python examples/get_stream_id.py ... --id my-stream-1      # choose the id
    python examples/get_stream_id.py ... --follow              # and print the stream to its end

Standard library only. Exit status 1 when the gateway refuses, or when the stream ends with an error event.
"""

import argparse
import json
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

HEADER = "X-MCP-STREAM-ID"


def main() -> int:
    """Open the stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:4000")
    parser.add_argument("--key", required=True, help="a LiteLLM key")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--prompt", default="Count to ten, slowly.")
    parser.add_argument("--id", help="the id to ask for: up to 128 letters, digits and ._:-")
    parser.add_argument("--follow", action="store_true", help="print the stream to its end")
    given = parser.parse_args()
    body = {"model": given.model, "stream": True, "messages": [{"role": "user", "content": given.prompt}]}
    headers = {"Authorization": f"Bearer {given.key}", "Content-Type": "application/json"}
    if given.id:
        headers[HEADER] = given.id
    request = Request(f"{given.url}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=600) as answer:
            print(answer.headers[HEADER], flush=True)
            failed = False
            for line in answer if given.follow else ():
                failed = failed or line.startswith(b'data: {"error"')
                sys.stdout.write(line.decode())
                sys.stdout.flush()
            return int(failed)
    except HTTPError as error:
        print(f"{error.code}: {error.read().decode()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
