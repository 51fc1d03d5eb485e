"""How a candidate is chosen: filters, scorers, one picker, in a profile, in a snapshot. Core and numpy only."""
