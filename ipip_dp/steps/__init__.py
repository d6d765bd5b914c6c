"""The steps of one iteration: one module each, of the same shape."""
