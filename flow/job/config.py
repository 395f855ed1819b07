"""The settings of the main job, and the cells that its patterns name."""

from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

from slipstick.errors import UserError
from slipstick.flow.cost.cost import CLOCK_MHZ
from slipstick.flow.search.study import check_sampler
from slipstick.limits import CLOCK_MHZ as CLOCKS
from slipstick.limits import COUNT, LOSS, SEED, SIDE, Limits, check_fields
from slipstick.model.layers.config import QuantConfig
from slipstick.model.zoo import SHIPPED
from slipstick.rtl.cells import cell, names
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.wrapped import for_arrays
from slipstick.store import digest

from .machine import AUTO, check_tile

EXACT = "exact8s"
CELLS = "exact8s,truncated8s_k[12],truncated_magnitude8s_k*_c2,evolved8s_*"
"""About the front of array energy against the workload's weighted error (docs/cells.md)."""


@dataclass(frozen=True)
class FlowConfig:
    """Everything that decides the result of the main job. ``max_loss`` in points of top-1.

    ``tile`` are rows and columns of the dot-product tiles that the array is made of, such as 4x16, or ``auto``.
    """

    limits: ClassVar[dict[str, Limits]] = {
        "rows": SIDE, "columns": SIDE, "clock_mhz": CLOCKS, "trials": COUNT, "palette": Limits(2, SIDE.most),
        "search_images": COUNT, "test_images": COUNT, "max_loss": LOSS, "seed": SEED,
    }  # fmt: skip
    model: str = SHIPPED
    weights: str | None = None
    model_args: str | None = None
    calibration: str | None = None
    images: str | None = None
    cells: str = CELLS
    rows: int = 16
    columns: int = 16
    tile: str = AUTO
    clock_mhz: float = CLOCK_MHZ
    liberty: str | None = None
    delays: Literal["zero", "unit", "nldm"] = "zero"
    sampler: str = "mcts"
    trials: int = 150
    palette: int = 5
    search_images: int = 600
    max_loss: float = 1.0
    test_images: int | None = None
    quantisation: QuantConfig = field(default_factory=QuantConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, self.limits, lambda name: f"--{name.replace('_', '-')}")
        check_sampler(self.sampler)
        if self.palette > self.columns:
            raise UserError(f"{self.palette} cells do not fit into {self.columns} columns; lower --palette")
        check_tile(self.tile, self.rows, self.columns)

    @property
    def name(self) -> str:
        """Name of the run's folder: equal settings go on in the same one."""
        return f"{self.model.replace('/', '_')}-{digest(asdict(self))[:8]}"


def chosen_cells(patterns: str) -> list[Cell]:
    """The 8 x 8 cells that comma-separated patterns name, the exact one first; unsigned ones between negations.

    Raises UnknownName for a pattern without a match, UserError for a cell of other widths.
    """
    found = dict.fromkeys(name for pattern in patterns.split(",") for name in names(pattern.strip()))
    return [cell(EXACT)] + [for_arrays(cell(name)) for name in found if name != EXACT]


def searched_cells(patterns: str) -> list[Cell]:
    """``chosen_cells``, with at least one to choose beside the exact one: UserError otherwise."""
    cells = chosen_cells(patterns)
    if len(cells) < 2:
        raise UserError(f"--cells {patterns}: needs an approximate cell beside the exact one, such as 'truncated8s_*'")
    return cells
