"""Typed settings: schema, loading, compiling to a snapshot. The only reader of the process environment."""
