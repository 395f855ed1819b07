"""What an evolution keeps: every mapped cell that no other one beats in both energy and weighted error."""

from dataclasses import dataclass, field
from typing import Any

from slipstick.flow.characterise.measure import multiplier_cost, weighted_errors
from slipstick.flow.characterise.operands import Operands
from slipstick.flow.library.liberty import Liberty
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.library import netlist_json, read_netlist
from slipstick.rtl.cells.netlist import Netlist

from .kernel import Bounds


@dataclass(frozen=True)
class Measured:
    """Errors weighted by the operands, and the mapped multiplier: energy of an operation, area, delay.

    ``objective_fj`` adds what the product's bits cost outside the multiplier. ``mae``, ``mse`` and ``bias`` are
    weighted means over all operand pairs; ``wce`` is over all pairs alike.
    """

    objective_fj: float

    energy_fj: float
    area_um2: float
    delay_ps: float
    mae: float
    mse: float
    bias: float
    wce: int


def product_bits(netlist: Netlist) -> int:
    """Bits of the product from the lowest one up that is not always zero."""
    return len(netlist.outputs) - next((i for i, node in enumerate(netlist.outputs) if node), len(netlist.outputs))


def measure(cell: Cell, operands: Operands, liberty: Liberty, clock_mhz: float, bit_fj: float) -> Measured:
    """Map a cell (Yosys, in a child process) and simulate it on the operands; kept by content."""
    cost, errors = multiplier_cost(cell, operands, liberty, clock_mhz=clock_mhz), weighted_errors(cell, operands)
    objective_fj = cost.energy_fj + bit_fj * product_bits(cell.netlist)
    figures = cost.energy_fj, cost.area_um2, cost.delay_ps, errors.mae, errors.mse, errors.bias, cell.errors.wce
    return Measured(objective_fj, *figures)


@dataclass(frozen=True)
class Member:
    """A mapped cell: its netlist, what was measured, and the walk that found it."""

    netlist: Netlist
    measured: Measured
    keeps_zero: bool
    seed_cell: str
    target_mae: float
    round: int

    def keeps(self, bounds: Bounds) -> bool:
        """Whether no bound is broken."""
        return (
            self.measured.mae <= bounds.mae
            and abs(self.measured.bias) <= bounds.bias
            and self.measured.wce <= bounds.wce
            and (self.keeps_zero or not bounds.keep_zero)
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "netlist": netlist_json(self.netlist),
            "measured": vars(self.measured),
            "keeps_zero": self.keeps_zero,
            "seed_cell": self.seed_cell,
            "target_mae": self.target_mae,
            "round": self.round,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Member":
        """What ``to_json`` made."""
        return cls(**{**value, "netlist": read_netlist(value["netlist"]), "measured": Measured(**value["measured"])})


def keeps_zero(cell: Cell) -> bool:
    """Whether a zero operand always gives a zero product."""
    return not cell.table[0].any() and not cell.table[:, 0].any()


@dataclass
class Archive:
    """Members in order of error; ``offer`` holds on to what no member dominates."""

    members: list[Member] = field(default_factory=list)

    def offer(self, new: Member) -> bool:
        """Add a member unless one is at least as good in energy and MAE, with as small a bias and worst error.

        Drops members that the new one makes needless. Returns whether it was added.
        """
        if any(_covers(old, new) for old in self.members):
            return False
        self.members = [old for old in self.members if not _covers(new, old)]
        self.members.append(new)
        self.members.sort(key=lambda one: (one.measured.mae, one.measured.objective_fj))
        return True

    def front(self) -> list[Member]:
        """Members that no other one beats in objective and weighted MAE alone, in order of MAE."""
        kept: list[Member] = []
        for one in self.members:
            if not kept or one.measured.objective_fj < kept[-1].measured.objective_fj:
                kept.append(one)
        return kept

    def best(self, bounds: Bounds) -> Member | None:
        """The member of least objective within bounds."""
        return min(
            (one for one in self.members if one.keeps(bounds)), key=lambda one: one.measured.objective_fj, default=None
        )


def _covers(one: Member, other: Member) -> bool:
    """``one`` is no worse in anything that a bound or a user may ask of it."""
    a, b = one.measured, other.measured
    return (
        a.objective_fj <= b.objective_fj
        and a.mae <= b.mae
        and abs(a.bias) <= abs(b.bias)
        and a.wce <= b.wce
        and (one.keeps_zero or not other.keeps_zero)
    )
