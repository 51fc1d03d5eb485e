"""From logged outcomes to a promoted artifact. Heavy libraries are imported inside functions."""
