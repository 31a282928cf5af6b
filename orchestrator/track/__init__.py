"""What happened: metric names, results against a reference, and the record of a run in MLflow."""
