"""Runs, and what a client does with them: submit, list, refer to, resume."""
