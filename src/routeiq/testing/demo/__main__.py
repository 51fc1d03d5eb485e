"""`python -m routeiq.testing.demo`, which `routeiq demo` starts."""

from routeiq.testing.demo.command import main

if __name__ == "__main__":
    raise SystemExit(main())
