"""Which cells to search over, what layers cost on them, and the search problem that follows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from slipstick.flow.cost.cost import CostModel
from slipstick.flow.search.problem import Problem
from slipstick.model.convert import assign_, table_layers
from slipstick.model.data import Images
from slipstick.model.divergence import kl_divergence
from slipstick.model.evaluate import logits
from slipstick.model.predict import predicted_damage
from slipstick.rtl.cells.cell import Cell

from .tiles import apportion
from .workbench import Workbench

Progress = Callable[[int, int], None]


def damage_matrix(bench: Workbench, cells: Sequence[Cell], progress: Progress) -> np.ndarray:
    """Predicted rise of the loss of every layer on every cell alone: float [layers, cells]."""
    layers = table_layers(bench.loaded.module)
    damage = np.zeros((len(layers), len(cells)))
    for column, cell in enumerate(cells):
        for row, layer in enumerate(layers.values()):
            damage[row, column] = predicted_damage(layer, ((cell,),))
        progress(column + 1, len(cells))
    return damage


@dataclass(frozen=True)
class TileCosts:
    """What layers cost on tiles of 1 to C columns; index 0 of the last axis is unused.

    ``energy_nj`` and ``cycles`` float [layers, cells, C + 1] of an inference, everything counted;
    ``waiting_nj`` float [cells, C + 1] is a cycle in which a tile rests, its clock running.
    """

    energy_nj: np.ndarray
    cycles: np.ndarray
    waiting_nj: np.ndarray

    @classmethod
    def measure(cls, model: CostModel, cells: Sequence[Cell], widths: Iterable[int]) -> "TileCosts":
        """Costs of every layer on every cell at these widths; others stay 0."""
        shape = (len(model.shapes), len(cells), model.columns + 1)
        energy, cycles, waiting = np.zeros(shape), np.zeros(shape), np.zeros(shape[1:])
        for width in widths:
            narrow = replace(model, columns=width)
            for column, cell in enumerate(cells):
                for row, layer in enumerate(model.shapes):
                    figures = narrow.layer_figures(cell.name, layer)
                    energy[row, column, width], cycles[row, column, width] = figures.energy_nj, figures.cycles
                waiting[column, width] = 1e-6 * sum(narrow.resting_cycle_fj(cell.name))
        return cls(energy, cycles, waiting)

    def of_layers(self, order: np.ndarray) -> "TileCosts":
        """The same with the layers in another order."""
        return replace(self, energy_nj=self.energy_nj[order], cycles=self.cycles[order])

    def energy(self, load: np.ndarray, choice: Sequence[int]) -> float:
        """nJ of an inference for a choice [layers] with one tile a cell; ``load`` MACs [layers] divide the columns.

        Tiles that are done wait for the slowest.
        """
        chosen = np.asarray(choice)
        cells = np.unique(chosen)
        share = apportion({int(a): float(load[chosen == a].sum()) for a in cells}, self.energy_nj.shape[2] - 1)
        width = np.array([share[int(a)] for a in chosen])
        layers = np.arange(len(chosen))
        cycles = self.cycles[layers, chosen, width]
        busy = np.array([cycles[chosen == a].sum() for a in cells])
        waiting = self.waiting_nj[cells, [share[int(a)] for a in cells]]
        return float(self.energy_nj[layers, chosen, width].sum() + (waiting * (busy.max() - busy)).sum())


def palette(cells: Sequence[Cell], energy: np.ndarray, damage: np.ndarray, size: int, most_damage: float) -> list[int]:
    """Indices of at most ``size`` cells, the exact one (index 0) first: the most useful of the energy-damage front.

    Cells that another beats in both totals are out; of the rest, those that lower the sum over layers
    and trade-offs of the best attainable cost most are taken one by one. Trade-offs whose best
    assignment does more than ``most_damage`` (nats) do not count: no search would end there.
    """
    total_energy, total_damage = energy.sum(0), damage.sum(0)
    exact = 0
    front = [
        i
        for i in range(len(cells))
        if i != exact
        and total_energy[i] < total_energy[exact]
        and not any(
            total_energy[j] <= total_energy[i] and total_damage[j] < total_damage[i]
            for j in range(len(cells))
            if j != i
        )
    ]
    weights = total_energy[exact] * np.logspace(-2, 6, 60)[:, None, None]
    cost = energy[None] + weights * damage[None]  # [trade-offs, layers, cells]
    best_damage = np.take_along_axis(np.broadcast_to(damage, cost.shape), cost.argmin(2)[..., None], 2).sum((1, 2))
    useful = (best_damage <= most_damage) & (best_damage > most_damage / 1000)
    cost = cost[useful] if useful.any() else cost
    scale = cost[:, :, exact].sum(1)
    chosen = [exact]
    while len(chosen) < size and front:
        best = cost[:, :, chosen].min(2)
        gains = {i: float(((best - cost[:, :, i]).clip(0).sum(1) / scale).sum()) for i in front}
        top = max(gains, key=lambda i: gains[i])
        if gains[top] <= 0:
            break
        chosen.append(top)
        front.remove(top)
    return [exact, *sorted(chosen[1:], key=lambda i: -total_energy[i])]


def problem(
    bench: Workbench, model: CostModel, cells: Sequence[Cell], energy: np.ndarray, damage: np.ndarray, images: Images
) -> Problem:
    """The search problem over these cells, judged on ``images`` against what exact int8 makes of them.

    The energy of an assignment is that of its tiles: a cell that few layers use pays for a narrow one.
    """
    layers = list(bench.shapes)
    order = np.argsort(-energy.max(1), kind="stable")
    costs = TileCosts.measure(model, cells, range(1, model.columns + 1)).of_layers(order)
    load = bench.macs(model.rows, 1)
    ordered_load = np.array([load[layers[i]] for i in order])
    assign_(bench.loaded.module, {})
    exact = logits(bench.loaded, images)

    def judge(assignment: Mapping[str, str]) -> tuple[float, float]:
        assign_(bench.loaded.module, dict(assignment))
        found = logits(bench.loaded, images)
        right = found.argmax(1).cpu().numpy() == images.labels
        return float(kl_divergence(exact, found).mean()), float(right.mean())

    return Problem(
        tuple(layers[i] for i in order),
        tuple(cell.name for cell in cells),
        energy[order],
        damage[order],
        judge,
        lambda choice: costs.energy(ordered_load, choice),
    )
