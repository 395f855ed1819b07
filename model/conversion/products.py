"""Calls that multiply two tensors, whatever function of torch they went through, in one form each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Finish = Callable[[Tensor], Tensor]


def _unchanged(result: Tensor) -> Tensor:
    return result


@dataclass(frozen=True)
class Product:
    """``finish(left @ right)`` with left [..., M, K] and right [..., K, N]."""

    kind: str
    left: Tensor
    right: Tensor
    finish: Finish = field(default=_unchanged)

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """The tensors that are multiplied."""
        return self.left, self.right


@dataclass(frozen=True)
class Attention:
    """``F.scaled_dot_product_attention`` of query [..., L, E], key [..., S, E] and value [..., S, V]."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    dropout: float
    causal: bool
    scale: float
    kind = "scaled_dot_product_attention"

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """The tensors that are multiplied."""
        return self.query, self.key, self.value


@dataclass(frozen=True)
class Convolution:
    """``finish(F.conv2d(images, weight, None, *geometry))``; geometry is stride, padding, dilation, groups."""

    images: Tensor
    weight: Tensor
    geometry: tuple[Any, Any, Any, int]
    finish: Finish = field(default=_unchanged)
    kind = "conv2d"

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """The tensors that are multiplied."""
        return self.images, self.weight


Call = Product | Attention | Convolution


def recognise(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call | None:
    """The product that ``func(*args, **kwargs)`` is, or None: another function, integers, or an ``out=`` argument."""
    reader = _READERS.get(func)
    if reader is None or kwargs.get("out") is not None:
        return None
    call = reader(*args, **kwargs)
    if call is None or not all(operand.is_floating_point() for operand in call.operands):
        return None
    return call


def is_softmax(func: Callable[..., Any]) -> bool:
    """Whether a function of torch is a softmax."""
    return func in _SOFTMAX


def _matmul(input: Tensor, other: Tensor, **_: Any) -> Product:
    return _general("matmul", input, other)


def _general(kind: str, left: Tensor, right: Tensor) -> Product:
    row, column = left.ndim == 1, right.ndim == 1  # as torch.matmul: vectors get an axis, and lose it again

    def finish(result: Tensor) -> Tensor:
        result = result.squeeze(-1) if column else result
        return result.squeeze(-1 if column else -2) if row else result

    left, right = left[None] if row else left, right[:, None] if column else right
    return Product(kind, left, right, finish if row or column else _unchanged)


def _reversed_matmul(input: Tensor, other: Tensor) -> Product:
    return _general("matmul", other, input)


def _batched(input: Tensor, mat2: Tensor, **_: Any) -> Product:
    return Product("matmul", input, mat2)


def _vector(input: Tensor, vec: Tensor, **_: Any) -> Product:
    return _general("matmul", input, vec)


def _added(input: Tensor, left: Tensor, right: Tensor, beta: float, alpha: float) -> Product:
    return Product("matmul", left, right, lambda result: beta * input + alpha * result)


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, **_: Any) -> Product:
    return _added(input, mat1, mat2, beta, alpha)


def _baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1, **_: Any) -> Product:
    return _added(input, batch1, batch2, beta, alpha)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Product:
    finish: Finish = _unchanged if bias is None else lambda result: result + bias
    if input.ndim > 1:
        return Product("linear", input, weight.mT, finish)
    return Product("linear", input[None], weight.mT, lambda result: finish(result[0]))


def _conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Convolution:  # fmt: skip
    finish: Finish = _unchanged if bias is None else lambda result: result + bias.view(-1, 1, 1)
    return Convolution(input, weight, (stride, padding, dilation, groups), finish)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Attention:  # fmt: skip
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    return Attention(query, key, value, attn_mask, dropout_p, is_causal, scale or query.shape[-1] ** -0.5)


def _einsum(equation: Any, *operands: Any) -> Product | None:
    tensors = operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    if not isinstance(equation, str) or len(tensors) != 2:
        return None
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    labels = [_spelled(part, tensor.ndim) for part, tensor in zip(inputs.split(","), tensors, strict=True)]
    if arrow:
        output = _spelled(output, max(len(label) for label in labels))
    else:
        joined = "".join(labels)
        output = "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    if any(len(set(label)) != len(label) for label in labels):
        return None
    return _contraction(f"einsum {equation}", labels, output, list(tensors))


def _spelled(labels: str, dimensions: int) -> str:
    """Labels with an ellipsis written out, its last dimension as Z, the one before as Y and so on."""
    before, dots, after = labels.partition("...")
    hidden = dimensions - len(before) - len(after)
    return before + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[26 - hidden :] * bool(dots and hidden > 0) + after


def _contraction(kind: str, labels: list[str], output: str, tensors: list[Tensor]) -> Product | None:
    for side in (0, 1):  # a label that only one operand has, and the result has not, is summed first
        alone = [i for i, c in enumerate(labels[side]) if c not in labels[1 - side] and c not in output]
        if alone:
            tensors[side] = tensors[side].sum(alone)
            labels[side] = "".join(c for i, c in enumerate(labels[side]) if i not in alone)
    first, second = labels
    output = "".join(c for c in output if c in first + second)
    summed = [c for c in first if c in second and c not in output]
    shared = [c for c in first if c in second and c in output]
    rows, columns = [c for c in first if c not in second], [c for c in second if c not in first]
    if not summed:
        return None  # element by element
    size: dict[str, int] = {}
    for label, tensor in zip(labels, tensors, strict=True):
        for c, length in zip(label, tensor.shape, strict=True):
            size[c] = max(size.get(c, 1), length)

    def arranged(side: int, order: list[str], shape: list[int]) -> Tensor:
        moved = tensors[side].permute([labels[side].index(c) for c in order])
        return moved.expand([size[c] for c in order]).reshape(shape)

    def extent(some: list[str]) -> int:
        return prod(size[c] for c in some)

    batch = [size[c] for c in shared]
    left = arranged(0, shared + rows + summed, [*batch, extent(rows), extent(summed)])
    right = arranged(1, shared + summed + columns, [*batch, extent(summed), extent(columns)])
    order = shared + rows + columns
    return Product(
        kind, left, right,
        lambda result: result.reshape([size[c] for c in order]).permute([order.index(c) for c in output]),
    )  # fmt: skip


_READERS: dict[Callable[..., Any], Callable[..., Call | None]] = {
    torch.matmul: _matmul, torch.Tensor.matmul: _matmul, torch.Tensor.__matmul__: _matmul,
    torch.linalg.matmul: _matmul, torch.Tensor.__rmatmul__: _reversed_matmul,
    torch.mm: _batched, torch.Tensor.mm: _batched, torch.bmm: _batched, torch.Tensor.bmm: _batched,
    torch.mv: _vector, torch.Tensor.mv: _vector,
    torch.addmm: _addmm, torch.Tensor.addmm: _addmm,
    torch.baddbmm: _baddbmm, torch.Tensor.baddbmm: _baddbmm,
    torch.einsum: _einsum,
    F.linear: _linear,
    F.conv2d: _conv2d,
    F.scaled_dot_product_attention: _attention,
}  # fmt: skip
_SOFTMAX = {F.softmax, torch.softmax, torch.Tensor.softmax}
