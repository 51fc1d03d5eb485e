"""Fakes, contract checks and the replay provider, shipped for people who write scorers and stores."""
