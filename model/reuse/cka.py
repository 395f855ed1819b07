"""How alike the attention of neighbouring encoders is: linear centred kernel alignment.

Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019.
"""

import torch
from torch import Tensor, nn

from slipstick.errors import UserError

from .convert import check_reusable


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Similarity in [0, 1] of two representations [N, D1] and [N, D2] of the same N rows.

    It does not change with shifts, scales and rotations of either. Raises UserError when one is constant.
    """
    first, second = (part.double() - part.double().mean(0) for part in (first, second))
    own = torch.linalg.matrix_norm(first.T @ first) * torch.linalg.matrix_norm(second.T @ second)
    if own == 0:
        raise UserError("a representation that is the same for all rows is like nothing")
    return float(torch.linalg.matrix_norm(first.T @ second) ** 2 / own)


@torch.no_grad()
def attention_cka(model: nn.Module, images: Tensor) -> Tensor:
    """CKA of the attention, before the projection, of all encoders: float64 [N, N]; rows are the tokens of ``images``.

    ``model`` is a float timm VisionTransformer before ``reuse_``; raises UserError for another.
    """
    blocks = check_reusable(model).blocks
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].flatten(0, -2))

    hooks = [block.get_submodule("attn.proj").register_forward_pre_hook(keep) for block in blocks]
    try:
        model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.tensor([[linear_cka(one, other) for other in seen] for one in seen], dtype=torch.float64)
