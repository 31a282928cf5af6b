"""What is recorded: metric names, results against a reference, and a run's record in MLflow."""
