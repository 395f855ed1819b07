"""Multiplier cells: ``cell(name)``, ``cells(pattern)``, and what a cell is. NumPy only."""

from . import array_multipliers, logarithmic, recursive  # noqa: F401  each registers its family
from .cell import Cell, ErrorFigures
from .netlist import Netlist
from .registry import cell, cells, names, register

__all__ = ["Cell", "ErrorFigures", "Netlist", "cell", "cells", "names", "register"]
