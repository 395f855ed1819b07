"""A cell: a named multiplier whose table, digest and error figures all derive from its netlist."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.errors import UserError

from .netlist import BitFunction, Netlist

LARGEST_TABLE = 24  # bits of both operands together


@dataclass(frozen=True)
class ErrorFigures:
    """Error of a cell against the exact product, over all operand pairs, uniformly weighted.

    Absolute units: ``mae`` mean |error|, ``wce`` worst |error|, ``mse`` mean error^2, ``bias`` mean
    error, ``variance``. Fractions of 1: ``ep`` share of wrong products; ``mre`` mean |error| /
    |product| over the pairs whose exact product is not zero (the convention of EvoApproxLib).
    """

    mae: float
    wce: int
    ep: float
    mre: float
    mse: float
    bias: float
    variance: float


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
        products = self.netlist.evaluate(a.ravel(), w.ravel()).astype(np.int64)
        if self.signed:
            products -= (products >> (self.product_width - 1)) << self.product_width
        return products.reshape(a.shape)

    @cached_property
    def table(self) -> np.ndarray:
        """All products, int32 [2^wa, 2^ww], indexed by operand *bits*; read-only.

        Raises UserError for operands of more than 24 bits together; ``products`` serves those.
        """
        if sum(self.widths) > LARGEST_TABLE:
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
        """Error figures over all operand pairs."""
        exact = self.exact.astype(np.int64)
        error = self.table - exact
        size = np.abs(error)
        nonzero = exact != 0
        return ErrorFigures(
            mae=float(size.mean()),
            wce=int(size.max()),
            ep=float((error != 0).mean()),
            mre=float((size[nonzero] / np.abs(exact[nonzero])).mean()),
            mse=float((error**2).mean()),
            bias=float(error.mean()),
            variance=float(error.var()),
        )


def operand_values(width: int, signed: bool) -> np.ndarray:
    """Value of every operand bit pattern, int64 [2^width]."""
    bits = np.arange(1 << width)
    return bits - ((bits >> (width - 1)) << width) if signed else bits
