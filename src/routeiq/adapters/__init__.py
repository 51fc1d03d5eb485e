"""One vendor per sub-package; none imports another."""
