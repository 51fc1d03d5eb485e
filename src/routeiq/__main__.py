"""`python -m routeiq` is the command line."""

import sys

from routeiq.cli import main

if __name__ == "__main__":
    sys.exit(main())
