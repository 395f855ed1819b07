"""The words that a requantiser really sees: recorded accumulators, channel after channel."""

from collections.abc import Mapping

import numpy as np

from slipstick.model.workload import Recording
from slipstick.rtl.cells import cell

from .surroundings import Peripheral, accumulator_width, requantiser

WORDS = 4096


def requantiser_peripheral(recordings: Mapping[str, Recording], rows: int, seed: int) -> Peripheral:
    """A requantiser that drains recorded accumulators, channel after channel, as a column does.

    ``rows`` R of the array decide the accumulator's width, with the exact cell.
    """
    width = accumulator_width(cell("exact8s"), rows)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"accumulator": [], "multiplier": [], "shift": []}
    collected = 0
    layers = list(recordings.values())
    while collected < WORDS:
        layer = layers[int(rng.integers(len(layers)))]
        product = int(rng.integers(len(layer.accumulators)))
        requant = layer.requant_of(product)
        channel = int(rng.integers(layer.accumulators.shape[2]))
        sums = layer.accumulators[product, :, channel].astype(np.int64)
        parts["accumulator"].append(sums)
        parts["multiplier"].append(np.full(len(sums), requant.multiplier[channel]))
        parts["shift"].append(np.full(len(sums), requant.shift[channel]))
        collected += len(sums)
    words = {name: np.concatenate(values)[:WORDS] for name, values in parts.items()}
    return requantiser(words["accumulator"], width, multiplier=words["multiplier"], shift=words["shift"])
