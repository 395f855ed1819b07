"""The vector units: activation, softmax, LayerNorm and residual addition of rows."""
