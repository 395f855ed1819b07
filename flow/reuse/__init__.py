"""Attention reuse under a delay target: what it costs, and which encoders to choose."""
