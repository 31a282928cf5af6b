"""The search for the best bit-width of each layer of a trained network (Bit-Mixer)."""
