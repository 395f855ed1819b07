"""What a co-simulation found: values that differ and where they are, cycles and speed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Quantity = Literal["accumulator", "output"]


@dataclass(frozen=True)
class Mismatch:
    """One value that differs: where it is in the layer, and where and when it left the accelerator.

    ``beat`` is the number in the stream of the beat that asked for it; ``cycle`` counts from the first beat taken.
    """

    layer: str
    quantity: Quantity
    tile: tuple[str, int]
    row: int
    column: int
    channel: int
    cells: str
    beat: int
    cycle: int
    got: int
    wanted: int

    def __str__(self) -> str:
        k, n = self.tile
        return (
            f"{self.layer} tile (k {k}, n {n}) row {self.row} channel {self.channel} column {self.column} "
            f"(cell {self.cells}) beat {self.beat} cycle {self.cycle}: {self.quantity} got {self.got}, "
            f"wanted {self.wanted}"
        )


@dataclass(frozen=True)
class JobCount:
    """Values of one job: ``compared`` and how many of them differ, by array column where any does."""

    layer: str
    compared: int
    mismatches: int
    columns: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CosimResult:
    """Sums over all jobs; ``cpu_seconds`` are those of the simulator from the first cycle to the last.

    ``cycles`` from the first beat taken to the last answer given; ``cycles_wanted`` are those of the contract,
    None where pauses were inserted.
    """

    jobs: tuple[JobCount, ...]
    cycles: int
    cpu_seconds: float
    first_mismatches: tuple[Mismatch, ...] = ()
    waveform: Path | None = None
    cycles_wanted: int | None = None

    @property
    def compared(self) -> int:
        """Values compared."""
        return sum(job.compared for job in self.jobs)

    @property
    def mismatches(self) -> int:
        """Values that differ."""
        return sum(job.mismatches for job in self.jobs)

    @property
    def in_time(self) -> bool:
        """Whether the machine took the cycles of the contract; true where pauses were inserted."""
        return self.cycles_wanted in (None, self.cycles)

    @property
    def cycles_per_cpu_second(self) -> float:
        """Clock cycles of the accelerator in one CPU second of the simulator."""
        return self.cycles / self.cpu_seconds

    def __str__(self) -> str:
        late = "" if self.in_time else f", {self.cycles_wanted} wanted"
        speed = f"{self.cycles} cycles{late}, {self.cycles_per_cpu_second:.0f} a CPU second"
        if not self.mismatches:
            return f"{self.compared} values in {len(self.jobs)} jobs agree ({speed})"
        waveform = f"; waveform {self.waveform}" if self.waveform else ""
        return f"{self.mismatches} of {self.compared} values differ ({speed}); {self.first_mismatches[0]}{waveform}"
