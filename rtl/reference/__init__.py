"""Designs that ours are measured against; no accelerator uses them."""
