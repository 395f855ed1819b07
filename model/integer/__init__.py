"""Integer-only inference: every operator between the int8 image and the integer logits."""
