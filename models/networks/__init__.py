"""Networks; the table of their names stands in `models`."""
