"""A layer of look-up tables, trained through extended finite differences (DWN, ICML 2024).

The difference that an input of a table sees depends on the table and on the address alone. It is a separable
transform of the table, made once a step for every address, and then looked up like the table itself.
"""

from typing import Any

import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.model.kernels.ops import available
from slipstick.model.kernels.weightless import look_up, look_up_gradients
from slipstick.rtl.spec.lutnet import ARITIES

from .bits import Bits, by_rows, carrier

FLIP = 0.25  # probability that each other bit of the address is flipped: beta / (1 + beta) with beta = 1/3


def check_arity(arity: int) -> None:
    """Raises UserError for a number of inputs that tables cannot have."""
    if arity not in ARITIES:
        raise UserError(f"LUT-{arity}: a table has {ARITIES[0]} to {ARITIES[-1]} inputs")


def differences(tables: Tensor) -> Tensor:
    """Extended finite differences float [N, n, 2^n] of tables [N, 2^n], for every input and every address.

    Half the difference of a table's expected value with that input 1 and with it 0, while every other input is
    flipped with probability FLIP: sum over a of s_l(a) table[a] alpha beta^H_l(a, address).
    """
    arity = tables.shape[1].bit_length() - 1
    found = []
    for wanted in range(arity):
        part = tables
        for bit in range(arity):
            pairs = part.unflatten(1, (-1, 2, 1 << bit))
            low, high = pairs[:, :, :1], pairs[:, :, 1:]
            if bit == wanted:
                pairs = (0.5 * (high - low)).expand(pairs.shape)
            else:
                pairs = torch.cat([torch.lerp(low, high, FLIP), torch.lerp(high, low, FLIP)], 2)
            part = pairs.flatten(1)
        found.append(part)
    return torch.stack(found, 1)


def addresses(slots: Tensor, arity: int) -> Tensor:
    """Addresses uint8 [N, M] from the bits uint8 [N * arity, M] of the tables' inputs; input l weighs 2^l."""
    inputs = slots.unflatten(0, (-1, arity))
    found = inputs[:, arity - 1].clone()
    for bit in range(arity - 2, -1, -1):
        found.mul_(2).add_(inputs[:, bit])
    return found


class _LookUp(torch.autograd.Function):
    """Table by table, so that neither the inputs' bits nor their gradients are ever held as a whole."""

    @staticmethod
    def forward(
        ctx: Any, codes: Tensor, values: Tensor, tables: Tensor, arity: int, index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        address = codes.new_empty(len(tables), codes.shape[1])
        binary = (tables > 0).to(torch.uint8)
        fired = torch.empty_like(address)

        def look_up(rows: slice) -> None:
            slots = slice(rows.start * arity, rows.stop * arity)
            chosen = codes[slots] if index is None else codes.index_select(0, index[slots])
            address[rows] = addresses(chosen, arity)
            torch.gather(binary[rows], 1, address[rows].long(), out=fired[rows])

        by_rows(address, look_up)
        ctx.save_for_backward(address, tables, *([] if index is None else [index]))
        ctx.inputs, ctx.arity = len(codes), arity
        ctx.mark_non_differentiable(fired)
        return fired, carrier(fired, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        address, tables, *index = ctx.saved_tensors
        gradient, arity = gradients[1], ctx.arity
        change = differences(tables)
        to_tables = torch.zeros_like(tables)
        to_bits = gradient.new_zeros(ctx.inputs, gradient.shape[1])

        def differentiate(rows: slice) -> None:
            place, part = address[rows].long(), gradient[rows]
            to_tables[rows].scatter_add_(1, place, part)
            slots = slice(rows.start * arity, rows.stop * arity)
            own = part.new_empty(len(part), arity, part.shape[1]) if index else to_bits[slots].unflatten(0, (-1, arity))
            for bit in range(arity):
                torch.gather(change[rows, bit], 1, place, out=own[:, bit])
            own.mul_(part.unsqueeze(1))
            if index:
                to_bits.index_add_(0, index[0][slots], own.flatten(0, 1))

        by_rows(address, differentiate)
        return None, to_bits, to_tables, None, None


class _CompiledLookUp(torch.autograd.Function):
    """``_LookUp`` by the compiled kernels: the same bits, gradients that differ in the order of their sums."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, values: Tensor, tables: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        address, fired = look_up(codes, index, tables)
        ctx.save_for_backward(address, tables, index)
        ctx.inputs = len(codes)
        ctx.mark_non_differentiable(fired)
        return fired, carrier(fired, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        address, tables, index = ctx.saved_tensors
        return None, *look_up_gradients(address, index, tables, gradients[1], ctx.inputs, FLIP), None


class LutLayer(nn.Module):
    """``count`` tables of 2^``arity`` entries; an entry above 0 is a 1.

    Entries are real while training, limited to [-1, 1], and get the gradient of the bits that they gave.
    Raises UserError for an ``arity`` that tables cannot have.
    """

    def __init__(self, count: int, arity: int = 6, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_arity(arity)
        self.arity = arity
        self.tables = nn.Parameter(torch.rand(count, 1 << arity, generator=generator) * 2 - 1)

    def forward(self, bits: Bits, index: Tensor | None = None) -> Bits:
        """Input bits [count * arity, M], a table's side by side -> output bits [count, M].

        With ``index`` int64 [count * arity] the inputs are these rows of ``bits`` [B, M].
        """
        if self.training and self.tables.detach().abs().amax() > 1:  # else untouched: backward may need it still
            with torch.no_grad():
                self.tables.clamp_(-1, 1)
        tables = self.tables
        if not available(tables.device) or tables.dtype != torch.float32 or bits.carrier.dtype != torch.float32:
            return Bits(*_LookUp.apply(bits.codes, bits.carrier, tables, self.arity, index))
        rows = torch.arange(tables.shape[0] * self.arity) if index is None else index
        return Bits(*_CompiledLookUp.apply(bits.codes, bits.carrier, tables, rows))

    def binary(self) -> Tensor:
        """The tables in hardware: uint8 [count, 2^arity] of 0 and 1."""
        return (self.tables.detach() > 0).to(torch.uint8)
