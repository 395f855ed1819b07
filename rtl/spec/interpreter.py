"""What the accelerator does with a stream of beats, and how many cycles it takes: the contract in whole numbers."""

import numpy as np

from .beats import CONSTANT_BITS, CONSTANTS, OF_LAYER, Beats, hold
from .fixed import requantise
from .machine import AcceleratorConfig


def run(config: AcceleratorConfig, beats: Beats) -> np.ndarray:
    """Answer lanes int64 [answers, C] of a stream, beat by beat; what was never written counts as 0.

    Sums wrap as the accumulators do.
    """
    rows, columns = config.array.rows, config.array.columns
    tables = np.array([[config.array.mix.at(r, c).table for c in range(columns)] for r in range(rows)])
    widths = np.array([config.sum_width(column) for column in range(columns)])
    weights = np.zeros((2, rows, columns), np.int64)
    constants = np.zeros((2, sum(CONSTANTS.values()), columns), np.uint8)
    accumulators = np.zeros((config.accumulator_rows, columns), np.int64)
    answers = []
    r, c = np.indices((rows, columns))
    for a, w, f in zip(beats.activations, beats.weights, beats.fields, strict=True):
        if f["write"]:
            bank, address = int(f["write_bank"]), int(f["address"])
            if address < rows:
                weights[bank, address] = w.view(np.uint8)
            elif address - rows < len(constants[bank]):
                constants[bank, address - rows] = w.view(np.uint8)
        if not f["compute"]:
            continue
        own = _read(constants[int(f["constants"])])
        products = tables[r, c, a.view(np.uint8).astype(np.int64)[:, None], weights[int(f["bank"])]]
        start = own["bias"] if f["first"] else accumulators[f["row"]]
        total = _wrapped(start + products.sum(0, dtype=np.int64), widths)
        if not f["last"]:
            accumulators[f["row"]] = total
        elif f["raw"]:
            answers.append(total)
        else:
            zero, low, high = (int(own[name][0]) for name in OF_LAYER)
            answers.append(requantise(total, own["multiplier"], own["shift"], zero, low, high, np.where))
    return np.array(answers, np.int64).reshape(-1, columns)


def _wrapped(values: np.ndarray, widths: np.ndarray) -> np.ndarray:
    half = np.int64(1) << (widths - 1)
    return (values + half) % (2 * half) - half


def _read(constants: np.ndarray) -> dict[str, np.ndarray]:
    """Constants of every column from their bytes uint8 [bytes, C]; all but ``multiplier`` and ``shift`` are signed."""
    found, place = {}, 0
    for name, size in CONSTANTS.items():
        values = np.zeros(constants.shape[1], np.int64)
        for byte in range(size):
            values |= constants[place + byte].astype(np.int64) << (8 * byte)
        values &= (1 << CONSTANT_BITS[name]) - 1
        if name not in ("multiplier", "shift"):
            values -= (values >> (8 * size - 1)) << (8 * size)
        found[name] = values
        place += size
    return found


def cycles(config: AcceleratorConfig, beats: Beats) -> int:
    """Cycles from the first beat taken to the last answer given, for a source and a sink that never pause.

    A beat waits while a row that must come first is under way: one whose sums it adds to for mesh rows + 1
    cycles, one that uses what it writes for ``hold`` cycles more.
    """
    tile_rows, _ = config.mesh
    fields, reach = beats.fields, hold(config)
    rows = config.array.rows
    now, last_answer = -1, 0
    stored = np.full(config.accumulator_rows, -(10**9))
    used = {"bank": [-(10**9)] * 2, "constants": [-(10**9)] * 2}
    for f in fields:
        now += 1
        if f["compute"] and not f["first"]:
            now = max(now, int(stored[f["row"]]) + tile_rows + 1)
        if f["write"]:
            kind = "bank" if f["address"] < rows else "constants"
            now = max(now, used[kind][int(f["write_bank"])] + reach + 1)
        if f["compute"]:
            used["bank"][int(f["bank"])] = used["constants"][int(f["constants"])] = now
            if f["last"]:
                last_answer = now
            else:
                stored[f["row"]] = now
    return max(now, last_answer + latency(config)) + 1


def latency(config: AcceleratorConfig) -> int:
    """Cycles from a row taken to its answer given."""
    return sum(config.mesh) + 2
