"""Multiplier cells: ``cell(name)``, ``cells(pattern)``, ``build(family, ...)``. NumPy only."""

from . import (  # noqa: F401  each registers its families
    approximate_booth,
    array_multipliers,
    compressors,
    evolved,
    exact,
    logarithmic,
    magnitudes,
    recursive,
    rounding,
    segmented,
)
from .cell import Cell, ErrorFigures
from .netlist import Netlist
from .registry import FAMILIES, Family, build, cell, cells, names, register

__all__ = [
    "FAMILIES", "Cell", "ErrorFigures", "Family", "Netlist", "build", "cell", "cells", "names", "register",
]  # fmt: skip
