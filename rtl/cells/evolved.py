"""Evolved cells: netlists of least energy under bounds on errors that a workload weighs.

``evolved8s_mae20`` was evolved under a bound of 20 on its mean absolute error, operands weighted as the
shipped ViT has them, for the mapped energy of the multiplier alone; ``evolved8s_b60_mae20`` at a price of
60 fJ for each product bit, which zero low bits save in the adder and the registers of an element. Found by
``slipstick cells evolve``, Cartesian genetic programming (Miller and Thomson, EuroGP 2000; of approximate
multipliers: Vasicek and Sekanina, IEEE TEC 2015). The asset holds the netlists, the settings of each run,
and the family member that each cell started from; all figures derive from the netlists.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from .cell import Cell
from .library import read_netlist
from .registry import register

ASSET = Path(__file__).parent / "assets" / "evolved.json"


def _build(entry: dict[str, Any]) -> Cell:
    return Cell(entry["name"], "evolved", entry["signed"], read_netlist(entry))


for _entry in json.loads(ASSET.read_text())["cells"]:
    register(_entry["name"], partial(_build, _entry))
