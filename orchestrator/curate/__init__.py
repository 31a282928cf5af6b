"""Look at the data sets of jobs, and make copies that decode quickly: what `orch data` does."""
