"""What the papers say of quantizers, measured on numbers drawn here or on a network's weights."""
