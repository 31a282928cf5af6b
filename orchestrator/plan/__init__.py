"""What a job needs, worked out without a cluster."""
