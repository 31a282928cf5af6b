"""From a job to its data sets, network and method, and the checks before a run."""
