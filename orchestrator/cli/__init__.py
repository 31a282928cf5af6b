"""The `orch` command. Nothing heavy is imported at the top of a file."""
