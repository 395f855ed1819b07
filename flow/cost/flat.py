"""The whole mesh as one flat netlist, simulated through whole passes: what the composition is checked against.

Modules are mapped one by one, as everywhere; the check is that their energies add up: words at the ports, positions
drawn, windows, counts, and glitches that pass from one module to the next.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slipstick.flow.power.activity import Activity
from slipstick.flow.power.buffers import with_buffers
from slipstick.rtl.array.mesh import Mesh
from slipstick.rtl.spec.streams import TileStream

from .array import ArrayModel
from .buffer_tree import MAX_FANOUT
from .emitted import mapped
from .module_energies import Mix
from .timeline import Pass
from .unit import MappingError, Stimulus, Unit, bits_of


@dataclass(frozen=True)
class Comparison:
    """Composition and flat netlist of one mesh: area in um2, energy in fJ a MAC, without wires and clock tree."""

    array: str
    composed_area_um2: float
    flat_area_um2: float
    composed_fj: float
    flat_fj: float

    @property
    def area_ratio(self) -> float:
        """Composed over flat."""
        return self.composed_area_um2 / self.flat_area_um2

    @property
    def energy_ratio(self) -> float:
        """Composed over flat."""
        return self.composed_fj / self.flat_fj


@dataclass(frozen=True)
class FlatMesh:
    """The mesh of a model's accelerator with some columns of cells."""

    model: ArrayModel
    mix: Mix

    @cached_property
    def unit(self) -> Unit:
        """The netlist of all its modules, with buffers on nets of many pins."""
        model = self.model
        synthesis = mapped(Mesh, model.config(self.mix), liberty=model.liberty, clock_ps=model.clock_ps)
        buffer = model.clock_tree(self.mix).buffer
        if buffer:
            synthesis = with_buffers(synthesis, model.liberty, buffer, MAX_FANOUT)
        return Unit(synthesis, model.liberty, model.clock_ps)

    def energy_fj(self, layer: str) -> float:
        """Energy of a MAC in passes of a layer's recorded tiles; MappingError where a sum is not that of the tables."""
        words, expected = [], []
        for stream in self.model.streams[layer]:
            own, sums = self._window(stream)
            words.append(own)
            expected.append(sums)
        inputs = {name: np.concatenate([one[name] for one in words]) for name in words[0]}
        lead = len(words[0]["valid"]) - Pass(self.model.streams[layer][0], self.model.mesh).length

        def check(activity: Activity) -> None:
            self._check(activity, expected, len(words[0]["valid"]), lead)

        energy = self.unit.energy(Stimulus(inputs, len(words), lead - 1, check), self.model.delays)
        return energy.total_fj / (self.model.rows * self.model.columns)

    def _window(self, stream: TileStream) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Both banks are written, a pass of the same activations goes through, and a pass is counted."""
        model, one = self.model, Pass(stream, self.model.mesh)
        rows, columns = stream.weights.shape
        length = one.length
        lead = 2 * rows + length
        place = np.arange(2 * rows)
        written = one.written
        widths = [model.config(self.mix).sum_width(column) for column in range(columns)]
        names = model.names(self.mix)
        before = np.stack([stream.sums_before(model.cell(n))[:, c] for c, n in enumerate(names)], axis=1)
        after = np.stack([stream.sums_after(model.cell(n))[:, c] for c, n in enumerate(names)], axis=1)
        sums = []
        for column, width in enumerate(widths):
            late = 1 + column // model.tile_columns
            own = np.roll(one.rows(before[:, column]), late)
            sums.append(bits_of(np.concatenate([np.zeros(2 * rows, np.int64), own, own]), width))
        weights = np.concatenate([stream.next_weights, stream.weights, 0 * one.bus_weights(), one.bus_weights()])
        activations = np.concatenate([np.zeros((2 * rows, rows), np.int8), *[one.bus_activations()] * 2])
        write = np.zeros((lead + length, rows), np.uint8)
        write[place, place % rows] = 1
        loading = np.flatnonzero(written >= 0)
        write[lead + loading, written[loading]] = 1
        working = one.working.astype(np.int64)
        bank = np.zeros(lead + length, np.int64)
        bank[2 * rows :] = 1
        words = {
            "advance": np.ones(lead + length, np.int64), "bank": bank, "rst": np.zeros(lead + length, np.int64),
            "valid": np.concatenate([np.zeros(2 * rows, np.int64), working, working]),
            "write_bank": np.concatenate([place >= rows, np.zeros(2 * length, bool)]).astype(np.int64), "write": write,
            "activations": _bytes(activations), "weights": _bytes(weights), "sums_in": np.concatenate(sums, axis=1),
        }  # fmt: skip
        return words, after

    def _check(self, activity: Activity, expected: list[np.ndarray], length: int, lead: int) -> None:
        bits = activity.bits("sums_out").reshape(len(expected), length, -1)
        place, config = 0, self.model.config(self.mix)
        for column in range(self.model.columns):
            width = config.sum_width(column)
            late = 1 + self.model.mesh[0] + column // self.model.tile_columns
            for own, sums in zip(bits, expected, strict=True):
                got = own[lead + late :, place : place + width].astype(np.int64) @ _weights(width)
                if not np.array_equal(got[: len(sums)], sums[: len(got), column]):
                    raise MappingError(f"column {column} of the flat mesh computes other sums than its cells' tables")
            place += width


def compare(model: ArrayModel, mix: Mix, layer: str) -> Comparison:
    """Compare the mesh of a model on the tiles of a layer."""
    flat = FlatMesh(model, mix)
    names, config = model.names(mix), model.config(mix)
    placed = list(model.mesh_units(names, config, layer))
    size = model.rows * model.columns
    return Comparison(
        config.array.describe(),
        sum(one.count * one.unit.area_um2 for one in placed) + model.broadcast_area_um2(names),
        flat.unit.area_um2,
        (sum(one.count * one.energy.total_fj for one in placed) + model.broadcast_fj(names, layer)) / size,
        flat.energy_fj(layer),
    )


def _bytes(lanes: np.ndarray) -> np.ndarray:
    """Bits of lanes of int8 [n, lanes], uint8 [n, 8 x lanes]."""
    return np.unpackbits(np.ascontiguousarray(lanes).view(np.uint8), axis=1, bitorder="little")


def _weights(width: int) -> np.ndarray:
    weights = 1 << np.arange(width, dtype=np.int64)
    weights[-1] = -weights[-1]
    return weights
