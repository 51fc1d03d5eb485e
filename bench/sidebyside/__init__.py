"""Parts of bench/routing.py."""
