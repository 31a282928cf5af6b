"""Where a run keeps its things."""
