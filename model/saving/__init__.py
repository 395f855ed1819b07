"""Converted models in files, and back, bit for bit."""
