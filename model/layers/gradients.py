"""Gradients through products on multiplier cells.

Forward is the integer path itself: operand codes, cells, int32 accumulators, scale. Backward estimates
the slope of every product (``slopes.GradientConfig``) and sums it in float32. Only int8 codes, scales
and the places of clamped values are kept from one to the other. Letters: M rows, K reduction, N
output channels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell

from ..gemm import is_exact
from ..kernels.fingerprint import check_plain
from .heads import HeadGrids
from .mixed import Grid, cell_groups
from .quantise import clamped
from .slopes import GradientConfig, Operand, slope_factors
from .table_layer import Cells, TableLayer


def set_gradient_(model: nn.Module, config: GradientConfig) -> None:
    """Choose the gradients of every converted layer and hold the offsets that compensate mean errors.

    Raises UserError when the model has no converted or a not yet calibrated layer.
    """
    layers = [module for module in model.modules() if isinstance(module, TableLayer)]
    if not layers:
        raise UserError("the model has no layer on cells; convert it with approximate_ first")
    for layer in layers:
        if not layer.ready:
            raise UserError(f"layer {layer.path!r} is not calibrated; convert the model with approximate_ first")
        layer.gradient = config
        layer.freeze_compensation()


def product(
    layer: TableLayer,
    values: Tensor,
    stationary: Tensor,
    bias: Tensor | None,
    requantised: bool = False,
    totals: list[Tensor] | None = None,
) -> Tensor:
    """A layer's product as a differentiable function: float [..., M, K], [..., K, N] and [N] -> [..., M, N].

    The numbers are those of the integer path, bit for bit. ``stationary`` is what the layer's second
    operand is quantised from. With ``requantised`` they are those of the layer's int8 outputs, so that
    the next product's quantiser gives these codes back. The accumulators int32 are added to ``totals``.
    """
    check_plain(values, stationary, bias)
    return _Product.apply(values, stationary, bias, layer, requantised, totals)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        stationary: Tensor,
        bias: Tensor | None,
        layer: TableLayer,
        requantised: bool,
        totals: list[Tensor] | None,
    ) -> Tensor:
        found = layer.integer_product(values, stationary)
        codes, held, total = found.codes, found.stationary, found.accumulators
        if totals is not None:
            totals.append(total)
        clips: list[Tensor | None] = [None, None, None]
        if layer.gradient.kind == "clipped":
            limits = layer.low, layer.high
            clips[0] = clamped(values, codes, layer.activation_scale, *limits)
            clips[1] = layer.clamped_stationary(stationary, held)
        if requantised:
            out = layer.output_codes(total, found.unit)
            if layer.gradient.kind == "clipped":
                clips[2] = clamped(total, out, layer.output_scale / found.unit, *limits)
            result = out.float() * layer.output_scale
        else:
            result = total.float() * found.unit
        ctx.layer, ctx.trained = layer, layer.trained()
        ctx.grid, ctx.config, ctx.groups = layer.grid, layer.gradient, getattr(layer, "groups", 1)
        ctx.save_for_backward(codes, held, layer.activation_scale, found.scale, *clips)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        codes, held, scale, held_scale, clip, held_clip, result_clip = ctx.saved_tensors
        gradient = gradients[0].float()
        if result_clip is not None and len(result_clip):  # autograd's own tensor stays as it is
            gradient = _clear_(gradient.clone(memory_format=torch.contiguous_format), result_clip)
        by_values = by_stationary = by_bias = None
        if ctx.trained is not None and (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            ctx.layer.hold(ctx.trained)
        if ctx.needs_input_grad[2]:
            by_bias = gradient.flatten(0, -2).sum(0)
        shape = codes.shape
        if held.ndim == 2 or ctx.groups > 1:  # one matrix for all rows, or one a group
            codes, gradient = (_by_group(part, ctx.groups) for part in (codes, gradient))
            held_scale = held_scale if ctx.groups == 1 else held_scale.view(ctx.groups, 1, -1)
        if ctx.needs_input_grad[0]:
            by_values = activation_gradient(gradient, codes, held, held_scale, ctx.grid, ctx.config)
            by_values = by_values.sum_to_size(codes.shape)
            by_values = _clear_((by_values.movedim(0, 1) if ctx.groups > 1 else by_values).reshape(shape), clip)
        if ctx.needs_input_grad[1]:
            by_stationary = stationary_gradient(gradient, codes, held, ctx.grid, ctx.config)
            by_stationary = _clear_(by_stationary.sum_to_size(held.shape).mul_(scale), held_clip)
        return by_values, by_stationary, by_bias, None, None, None


def _by_group(rows: Tensor, groups: int) -> Tensor:
    """Rows [..., C] as [M, C], or [G, M, C / G] where there are several groups."""
    rows = rows.reshape(-1, rows.shape[-1])
    return rows if groups == 1 else rows.unflatten(-1, (groups, -1)).movedim(1, 0)


def _each_head(heads: HeadGrids, of: Callable[[Grid, slice], Tensor], count: int) -> Tensor:
    """The results [..., H, :, :] of heads that run on different cells, from those of every grid's heads."""
    step = len(heads.grids)
    parts = [of(grid, slice(first, None, step)) for first, grid in enumerate(heads.grids[:count])]
    total = parts[0].new_empty(*parts[0].shape[:-3], count, *parts[0].shape[-2:])
    for first, part in enumerate(parts):
        total[..., first::step, :, :] = part
    return total


def activation_gradient(
    gradient: Tensor, codes: Tensor, held: Tensor, held_scale: Tensor, grid: Cells, config: GradientConfig
) -> Tensor:
    """``sum_n gradient[m, n] * held_scale[n] * slope_a(codes[m, k], held[k, n])``: float32 [..., M, K].

    ``gradient`` float32 [..., M, N] by the layer's outputs; ``codes`` int8 [..., M, K]; ``held`` int8
    [..., K, N] with ``held_scale`` [..., N] or [1]. A separable term costs one matrix product.
    """
    if config.kind != "table_difference":
        return gradient @ (held.float() * held_scale).transpose(-1, -2)
    if isinstance(grid, HeadGrids):
        return _each_head(
            grid,
            lambda one, own: activation_gradient(
                gradient[..., own, :, :], codes[..., own, :, :], held[..., own, :, :], held_scale, one, config
            ),
            gradient.shape[-3],
        )
    total = gradient.new_zeros(*gradient.shape[:-1], held.shape[-2])
    for block in _blocks(gradient, codes, held, grid):
        scale = held_scale if held_scale.shape[-1] == 1 else held_scale[..., block.n]
        if is_exact(block.cell):
            part = block.gradient @ (block.held.float() * scale).transpose(-1, -2)
        else:
            part = gradient.new_zeros(*gradient.shape[:-1], len(block.k))
            for left, right in _terms(block, "activation", config):
                part.addcmul_(left, block.gradient @ (right * scale).transpose(-1, -2))
        total.index_add_(-1, block.k, part)
    return total


def stationary_gradient(gradient: Tensor, codes: Tensor, held: Tensor, grid: Cells, config: GradientConfig) -> Tensor:
    """``sum_m gradient[m, n] * slope_w(codes[m, k], held[k, n])``: float32 [..., K, N].

    Arguments as for ``activation_gradient``.
    """
    if config.kind != "table_difference":
        return codes.float().transpose(-1, -2) @ gradient
    if isinstance(grid, HeadGrids):
        return _each_head(
            grid,
            lambda one, own: stationary_gradient(
                gradient[..., own, :, :], codes[..., own, :, :], held[..., own, :, :], one, config
            ),
            gradient.shape[-3],
        )
    total = gradient.new_zeros(*gradient.shape[:-2], *held.shape[-2:])
    for block in _blocks(gradient, codes, held, grid):
        if is_exact(block.cell):
            part = block.codes.float().transpose(-1, -2) @ block.gradient
        else:
            part = gradient.new_zeros(*gradient.shape[:-2], len(block.k), len(block.n))
            for left, right in _terms(block, "stationary", config):
                part.addcmul_(right, left.transpose(-1, -2) @ block.gradient)
        total[..., block.k[:, None], block.n] = part
    return total


@dataclass(frozen=True)
class _Block:
    """The part of a product that one cell computes: its k, its n, and what the three operands are there."""

    cell: Cell
    k: Tensor
    n: Tensor
    gradient: Tensor
    codes: Tensor
    held: Tensor


def _blocks(gradient: Tensor, codes: Tensor, held: Tensor, grid: Grid) -> Iterator[_Block]:
    depth, channels = held.shape[-2:]
    for cell, depths, places in cell_groups(grid, depth, channels):
        k, n = (
            torch.arange(count, device=held.device) if some is None else some.to(held.device)
            for some, count in ((depths, depth), (places, channels))
        )
        if places is not None:
            gradient_here, held_here = gradient[..., n], held[..., n]
        else:
            gradient_here, held_here = gradient, held
        if depths is not None:
            yield _Block(cell, k, n, gradient_here, codes[..., k], held_here[..., k, :])
        else:
            yield _Block(cell, k, n, gradient_here, codes, held_here)


def _terms(block: _Block, operand: Operand, config: GradientConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """The factors of every separable term, looked up: float32 like the codes and like the held operand."""
    factors = slope_factors(block.cell, operand, config)
    bits = [part.contiguous().view(torch.uint8).int() for part in (block.codes, block.held)]
    for pair in zip(factors.left, factors.right, strict=True):
        left, right = (
            torch.index_select(factor.to(place.device), 0, place.flatten()).view(place.shape)
            for factor, place in zip(pair, bits, strict=True)
        )
        yield left, right


def _clear_(gradient: Tensor, places: Tensor | None) -> Tensor:
    """Put zeros at flat ``places`` of a contiguous tensor."""
    if places is not None and len(places):
        gradient.view(-1).index_fill_(0, places, 0)
    return gradient
