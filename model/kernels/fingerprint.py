"""Whether a tensor still holds the same numbers: a 64-bit hash of its memory, whoever wrote there and however."""

from typing import Any

import torch
from torch import Tensor

from slipstick.errors import UserError

from .ops import available, compiled

Fingerprint = tuple[Any, ...]
_FACTORS = 0x1E3779B97F4A7C15, 0x56E8FEB86659FD93  # odd


def fingerprint(tensor: Tensor | None) -> Fingerprint:
    """Equal for tensors of the same numbers, shape, layout, dtype and device, within one process; () for none.

    Raises UserError inside transforms of ``torch.func``, which hide the numbers.
    """
    if tensor is None:
        return ()
    check_plain(tensor)
    if not _has_no_gaps(tensor):
        tensor = tensor.detach().contiguous()
    return _hash(tensor), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def check_plain(*tensors: Tensor | None) -> None:
    """UserError for tensors inside a transform of ``torch.func``, whose numbers cannot be seen."""
    if any(tensor is not None and torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in tensors):
        raise UserError(
            "transforms of torch.func, such as vmap and grad, hide numbers from layers on cells: call the model "
            "once for every set of weights, and take gradients by backward()"
        )


def _has_no_gaps(tensor: Tensor) -> bool:
    """Whether every element of a piece of memory belongs to the tensor, in whatever order, and once."""
    if tensor.is_contiguous():
        return True
    count = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != count:
            return False
        count *= size
    return True


def _hash(tensor: Tensor) -> int:
    """Of the memory of a tensor without gaps, in its order."""
    if available(tensor.device):
        return int(compiled().library.slipstick_hash(tensor.data_ptr(), tensor.nbytes, torch.get_num_threads()))
    if tensor.numel() == 0:
        return 0
    data = tensor.detach().as_strided((tensor.numel(),), (1,)).view(torch.uint8)
    words = torch.nn.functional.pad(data, (0, -len(data) % 8)).view(torch.int64)
    mixed = words ^ (torch.arange(1, len(words) + 1, device=words.device) * _FACTORS[0])
    for factor in _FACTORS:
        mixed = (mixed ^ (mixed >> 31)) * factor
    return int((mixed ^ (mixed >> 29)).sum())
