"""Everything that may say no to a request: drain, bounded concurrency, breakers, policy. Core only."""
