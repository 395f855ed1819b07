"""Behaviour in whole numbers, read by both the hardware and the model. NumPy only."""
