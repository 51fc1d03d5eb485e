"""Other people's pickled routers to our artifacts, opened where they can do no harm."""

from routeiq.learn.pickles.convert import convert
from routeiq.learn.pickles.sandbox import Opened, open_pickle

__all__ = ["Opened", "convert", "open_pickle"]
