"""Networks; the table of their names is in `models`."""
