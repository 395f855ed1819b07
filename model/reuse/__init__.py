"""Attention reuse (TReX, arXiv 2408.12742): encoders that take the attention of the encoder before them."""
