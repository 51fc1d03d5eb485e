"""`python -m routeiq.testing.replay`: the command line of the replay provider."""

from routeiq.testing.replay.server import main

if __name__ == "__main__":
    raise SystemExit(main())
