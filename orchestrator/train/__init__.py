"""How one run goes: the driver starts it, every rank trains and evaluates."""
