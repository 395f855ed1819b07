"""Training: the shipped network from scratch, gradients through cells, finetuning on cells."""
