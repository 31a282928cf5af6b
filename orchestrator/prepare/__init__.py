"""From a job to the things that train, and what can be known to be wrong beforehand."""
