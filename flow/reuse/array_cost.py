"""Energy, delay and area of attention reuse on our own array, at the operands that a reuse network really has."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.job.hardware import common_depth
from slipstick.model.convert import EXACT, approximate_
from slipstick.model.workload import record, tile_streams, workload
from slipstick.model.zoo import LoadedModel
from slipstick.rtl.cells import cell

from .cost import ReuseCost, SpatialCost
from .geometry import Geometry
from .systolic import cycles, encoder_products, matrices, systolic_delay_ms

RECORDED_IMAGES, TILES = 16, 3


@dataclass(frozen=True)
class ArrayParts:
    """The cost model on the streams of a network in which some encoders reuse attention.

    ``layers`` are the recorded layers by their names below ``blocks.N``; all of them run on one array of one cell.
    """

    model: CostModel
    layers: dict[str, tuple[str, ...]]
    cell: str = BASELINE

    @classmethod
    def measure(
        cls, loaded: LoadedModel, batches: list[Tensor], *, rows: int, columns: int, clock_mhz: float, seed: int = 0
    ) -> "ArrayParts":
        """Convert a float model that reuses attention, in place, and record the operands of its encoders."""
        approximate_(loaded.module, {}, batches, seed=seed)
        recordings = record(loaded.module, batches[0][:RECORDED_IMAGES])
        layers: dict[str, tuple[str, ...]] = {}
        for name in recordings:
            if name.startswith("blocks."):
                part = name.split(".", 2)[2]
                layers[part] = (*layers.get(part, ()), name)
        rng = np.random.default_rng(seed)
        streams = {
            name: tile_streams(recordings[name], rows=rows, columns=columns, count=TILES, rng=rng)
            for names in layers.values() for name in names
        }  # fmt: skip
        model = CostModel.build(
            [cell(EXACT)], streams, workload(loaded.module), clock_mhz=clock_mhz, rows=rows, columns=columns,
            depth=common_depth(recordings, rows),
        )  # fmt: skip
        return cls(model, layers)

    def cost(self, geometry: Geometry, reuse: int, *, transform: bool = True, lanes: int | None = None) -> ReuseCost:
        """All encoders of a geometry, ``reuse`` of them without attention of their own.

        The energy of a part is the mean over the recorded layers of its name. The area is that of the array with
        its requantisers, without memories: one array does everything, so it does not change.
        With ``lanes`` the delay has the units beside the array in series with it; their energy and area are not
        counted. Raises UserError for more reuse encoders than there can be.
        """
        geometry.check_reuse(reuse)
        model = self.model
        whole, reused = (self._encoder_nj(geometry, kind, transform) for kind in (False, True))
        delay = systolic_delay_ms(
            geometry, reuse, rows=model.rows, columns=model.columns, clock_mhz=model.clock_mhz, transform=transform,
            lanes=lanes,
        )  # fmt: skip
        energy = (geometry.encoders - reuse) * whole + reuse * reused
        return ReuseCost(1e-6 * energy, delay, 1e-6 * model.array_area_um2(self.cell))

    def spatial_cost(
        self, geometry: Geometry, reuse: int, *, matrix: bool = True, transform: bool = True
    ) -> SpatialCost:
        """All encoders, no array serving two products, so that reuse saves area too, as on the paper's crossbars.

        Every product has an array; with ``matrix`` Q, K, V and the heads' products have arrays of their own and work
        side by side. Images follow each other in a pipeline; an array that is done waits for the slowest, its clock
        running, as the tiles of ``slipstick flow`` do. Raises UserError for more reuse encoders than there can be.
        """
        geometry.check_reuse(reuse)
        model, energy = self.model, 0.0
        arrays = through = busy = interval = 0
        for reuses, encoders in ((False, geometry.encoders - reuse), (True, reuse)):
            energy += encoders * self._encoder_nj(geometry, reuses, transform)
            for part, shape in encoder_products(geometry, reuses, transform).items():
                number, one = matrices(part, shape) if matrix else (1, shape)
                taken = cycles(one, model.rows, model.columns)
                arrays += encoders * number
                through += encoders * taken
                busy += encoders * number * taken
                interval = max(interval, taken if encoders else 0)
        waiting = sum(model.resting_cycle_fj(self.cell))
        energy += 1e-6 * (arrays * interval - busy) * waiting
        milliseconds, area = 1e-3 / model.clock_mhz, 1e-6 * model.array_area_um2(self.cell)
        image = ReuseCost(1e-6 * energy, milliseconds * through, arrays * area)
        return SpatialCost(arrays, image, milliseconds * interval)

    def _encoder_nj(self, geometry: Geometry, reuses: bool, transform: bool) -> float:
        model, total = self.model, 0.0
        for part, shape in encoder_products(geometry, reuses, transform).items():
            other = replace(model, shapes=dict.fromkeys(self.layers[part], shape))
            found = [other.layer_figures(self.cell, name).energy_nj for name in self.layers[part]]
            total += sum(found) / len(found)
        return total
