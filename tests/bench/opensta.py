"""Our power beside OpenSTA 2.0.17's, and what the rules of internal energy make of the same activity."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slipstick.flow.library.liberty import load_liberty
from slipstick.flow.power.activity import Activity, simulate
from slipstick.flow.power.annotation import Annotation
from slipstick.flow.power.cell_power import Rule
from slipstick.flow.power.gates import MappedNetlist
from slipstick.flow.power.measure import random_vectors
from slipstick.flow.power.power import PowerModel
from slipstick.flow.power.timing import analyse
from slipstick.rtl.cells.registry import registered
from tests.flow.power.opensta import CLOCK_PS, LIBRARIES, label, longest_path_ps, mapped, powers
from tests.flow.power.opensta_2019 import DENSITY, DUTY, compare, energies

VECTORS, HOLD = 16_384, 64
RULES = (
    ("multiplier", "exact8s"), ("multiplier", "truncated8s_k7"), ("multiplier", "drum8s_k4"),
    ("multiplier", "evolved8s_b60_mae75"), ("element", "exact8s"),
)  # fmt: skip


def version() -> str:
    """Name and version of OpenSTA, "" where it is absent."""
    if not shutil.which("sta"):
        return ""
    done = subprocess.run(["sta", "-exit", "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return " ".join(done.stdout.split()[:2])


def against_opensta() -> Iterator[dict[str, object]]:
    """Longest paths and total powers, ours and OpenSTA's, by library; the worst of all signed 8 x 8 cells."""
    cells = [one.name for one in registered() if one.signed and one.widths == (8, 8)]
    for path in LIBRARIES if version() else []:
        liberty = load_liberty(path)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            designs = [mapped(liberty, kind) for kind in ("multiplier", "element", "array")]
            paths = [
                (analyse(netlist).delay_ps, longest_path_ps(netlist, liberty, CLOCK_PS, folder))
                for netlist in designs[:2]
            ]
            started = time.perf_counter()
            powers(designs[0], CLOCK_PS, DENSITY, DUTY, folder)
            seconds = time.perf_counter() - started
            totals = [compare(netlist, CLOCK_PS, folder) for netlist in designs]
            sweep = {one: compare(mapped(liberty, "multiplier", one), CLOCK_PS, folder) for one in cells}
        worst = max(sweep, key=lambda one: sweep[one].difference)
        yield {
            "library": label(path, liberty), "paths": paths, "opensta_s": seconds, "totals": totals,
            "cells": len(cells), "worst": sweep[worst].difference, "worst_cell": worst,
            "gate": max(one.worst for one in (*sweep.values(), *totals)),
        }  # fmt: skip


def rules() -> Iterator[dict[str, object]]:
    """Energy of a cycle under three rules of internal energy and leakage, on the same simulated activity.

    The rule of 2019 is taken with the activity of every net, which 2.0.17 itself does not accept. Switching
    is the same in all three.
    """
    for path in LIBRARIES:
        liberty = load_liberty(path)
        yield {
            "library": label(path, liberty),
            "found": [_three(mapped(liberty, kind, name)) | {"kind": kind, "cell": name} for kind, name in RULES],
        }


def _three(netlist: MappedNetlist) -> dict[str, float]:
    activity = _activity(netlist)
    joint, independent = (PowerModel(netlist, clock_ps=CLOCK_PS, rule=rule).report(activity).total for rule in Rule)
    known = Annotation(netlist, activity.density, activity.probability, np.full(netlist.net_count, True))
    own = energies(known, analyse(netlist), CLOCK_PS).values()
    old = joint.switching_fj + sum(one.internal_fj + one.leakage_fj for one in own)
    return {
        "joint": joint.total_fj, "independent": independent.total_fj / joint.total_fj, "old": old / joint.total_fj,
    }  # fmt: skip


def _activity(netlist: MappedNetlist) -> Activity:
    """Uniform random operands; an element holds its weight for ``HOLD`` cycles."""
    words = random_vectors(netlist, VECTORS, seed=7)
    if "load" not in words:
        return simulate(netlist, words)
    held = np.repeat(words["weight_in"][: VECTORS // HOLD], HOLD)
    return simulate(netlist, words | {"load": np.zeros_like(held)}, {"weight_out": held}, settle=4)
