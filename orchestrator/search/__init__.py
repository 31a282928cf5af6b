"""Which settings a search tries next, which it stops, and what it found: no Ray, no torch."""
