"""The array: a systolic mesh of dot-product tiles."""
