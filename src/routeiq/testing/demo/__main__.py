"""`python -m routeiq.testing.demo`, which `routeiq demo` starts."""

if __name__ == "__main__":
    try:  # the imports alone take seconds on a busy machine, and who stops it meanwhile needs no traceback
        from routeiq.testing.demo.command import main

        status = main()
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)
