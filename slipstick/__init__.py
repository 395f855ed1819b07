"""Slipstick: from a timm Vision Transformer to a verified approximate accelerator."""

__version__ = "0.1.0"
