"""Carries a search out: the driver, its groups of workers, and the records of trials."""
