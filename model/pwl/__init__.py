"""Piecewise linear fits of non-linear functions: optimal, genetic (GQA-LUT), and published tables."""
