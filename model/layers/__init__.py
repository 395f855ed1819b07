"""Layers whose products come from multiplier cells, and what they are made of: scales, mixes of cells, statistics."""
