"""Which runs there are, and what a client does with them: submit, look, refer to, resume."""
