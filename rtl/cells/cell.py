"""A cell: a named multiplier whose table, digest and error figures all derive from its netlist."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.errors import UserError

from .errors import LARGEST_EXHAUSTIVE, ErrorFigures, exhaustive, operand_values, sampled, signed_products
from .netlist import BitFunction, Netlist


@dataclass(frozen=True, eq=False)
class Cell:
    """A combinational multiplier of operand a (activation) and operand w (weight).

    ``parameters`` are those of the family that made it. ``signed`` operands are two's complement.
    """

    name: str
    family: str
    signed: bool
    netlist: Netlist
    parameters: tuple[tuple[str, int], ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    @classmethod
    def trace(
        cls, name: str, family: str, function: BitFunction, *, widths: tuple[int, int], signed: bool, **parameters: int
    ) -> "Cell":
        """Trace a bit-level product function of operands of ``widths`` = (wa, ww) bits."""
        netlist = Netlist.trace(function, widths)
        return cls(name, family, signed, netlist, tuple(parameters.items()))

    @property
    def widths(self) -> tuple[int, int]:
        """Bits of operands a and w."""
        return self.netlist.widths

    @property
    def product_width(self) -> int:
        """Bits of the product."""
        return len(self.netlist.outputs)

    @property
    def digest(self) -> str:
        """Hash of the behaviour: the netlist and how its bits are read."""
        return f"{'s' if self.signed else 'u'}{self.netlist.digest}"

    def products(self, a: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Products of operand *bits*, int64, of arrays that broadcast against each other."""
        a, w = np.broadcast_arrays(a, w)
        products = signed_products(self.netlist, self.signed, a.ravel(), w.ravel())
        return products.reshape(a.shape)

    @cached_property
    def table(self) -> np.ndarray:
        """All products, int32 [2^wa, 2^ww], indexed by operand *bits*; read-only.

        Raises UserError for operands of more than 24 bits together; ``products`` serves those.
        """
        if sum(self.widths) > LARGEST_EXHAUSTIVE:
            raise UserError(f"the table of cell {self.name!r} would have 2^{sum(self.widths)} entries")
        a, w = (np.arange(1 << width) for width in self.widths)
        table = self.products(a[:, None], w[None]).astype(np.int32)
        table.flags.writeable = False
        return table

    @cached_property
    def exact(self) -> np.ndarray:
        """The exact products in the layout of ``table``."""
        return np.multiply.outer(*(operand_values(width, self.signed) for width in self.widths)).astype(np.int32)

    @cached_property
    def errors(self) -> ErrorFigures:
        """Error figures: exact up to 24 bits of both operands together, beyond that of a sample, and marked so."""
        measure = exhaustive if sum(self.widths) <= LARGEST_EXHAUSTIVE else sampled
        return measure(self.netlist, self.signed)
