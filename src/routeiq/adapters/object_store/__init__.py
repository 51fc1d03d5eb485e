"""Folders of objects: S3 and what speaks like it, HTTP with ETags, plain folders."""

from routeiq.adapters.object_store.opening import open_folder

__all__ = ["open_folder"]
