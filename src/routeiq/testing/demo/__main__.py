"""`python -m routeiq.testing.demo`, which `routeiq demo` starts."""

import signal
import sys

if __name__ == "__main__":
    # Whoever asks it to end, or closes its terminal, leaves it the time to end what it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:  # the imports alone take seconds on a busy machine, and who stops it meanwhile needs no traceback
        from routeiq.testing.demo.command import main

        status = main()
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)
