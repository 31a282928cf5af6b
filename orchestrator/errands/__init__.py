"""The cluster's side of `orch data --address`: a driver, and the tasks it spreads."""
