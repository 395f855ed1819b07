"""A characterised set of cells as one JSON-ready document: what ``--json`` prints and the page shows."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

from slipstick.rtl.cells.cell import Cell

from .table import Characterisation, Row


def errors_document(cells: Sequence[Cell]) -> dict[str, Any]:
    """Names, sizes and errors alone: nothing is synthesised."""
    return {"cells": [_identity(one) for one in cells]}


def document(found: Characterisation) -> dict[str, Any]:
    """Every figure of every cell, the exact designs beside them, and how they were found.

    Errors in absolute units and fractions of 1, energies fJ an operation, areas um2, delays ps, power uW at the
    clock with one operation a cycle; ``saving`` fractions at four levels, null where arrays do not take the cell.
    """
    return {
        "cells": [_row(found, row) for row in found.rows],
        "exact": [
            {"signed": signed, "widths": widths, "form": point.form, **asdict(point.cost)}
            for (signed, widths), points in found.exact.items()
            for point in points
        ],
        "exact_mac_fj": asdict(found.exact_levels) if found.exact_levels else None,
        "clock_mhz": found.clock_mhz,
        "notes": list(found.notes),
    }


def _identity(one: Cell) -> dict[str, Any]:
    return {
        "name": one.name, "family": one.family, "signed": one.signed, "widths": list(one.widths),
        "digest": one.digest, "gates": len(one.netlist.gates), "errors": one.errors.as_json(),
    }  # fmt: skip


def _row(found: Characterisation, row: Row) -> dict[str, Any]:
    saving = {level: None if isnan(value) else value for level, value in asdict(found.saving(row)).items()}
    return _identity(row.cell) | {
        "weighted_errors": asdict(row.weighted),
        "rank": row.rank,
        **asdict(row.cost),
        "power_uw": row.cost.energy_fj * found.clock_mhz * 1e-3,
        "mac_fj": row.mac_fj,
        "array_fj": row.array_fj,
        "inference_fj": row.inference_fj,
        "saving": saving,
        "pareto": {error: row.cell.name in names for error, names in found.fronts.items()},
    }
