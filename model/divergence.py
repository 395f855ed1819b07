"""How far a model's outputs are from those of a reference: Kullback-Leibler divergence, image by image."""

import torch
from torch import Tensor

from slipstick.errors import UserError


def kl_divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """Divergence of ``logits`` [N, classes] from ``reference`` [N, classes]: nats, float64 [N].

    With p and q the softmax of both and d = log p - log q, the sum of p (d + e^-d - 1) equals that of p d, since
    p and q each sum to 1; but no term of it is negative, so small divergences lose no digits to cancellation.
    Raises UserError for NaN, and for infinite outputs that leave no distribution.
    """
    before, after = (values.double().log_softmax(1) for values in (reference, logits))
    if torch.isnan(before).any() or torch.isnan(after).any():
        raise UserError("outputs of the model hold NaN or Inf: its accuracy cannot be judged")
    p, gap = before.exp(), before - after
    # where p is zero, its limit: e^-d p = q
    return torch.where(p > 0, p * (gap + torch.expm1(-gap)), after.exp()).sum(1)
