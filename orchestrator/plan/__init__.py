"""What a job will take, worked out without a cluster."""
