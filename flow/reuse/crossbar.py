"""What an encoder costs on in-memory crossbars, as TReX (arXiv 2408.12742) has it: energy, delay, area.

The static layers lie in 64 x 64 FeFET crossbars of 2-bit cells, four for an 8-bit weight, in whole tiles of 64
crossbars; several tiles a layer, never several layers a tile. K^T and V are written anew for every image. Layers
run one after another; Q, K and V together. All figures are those of one image.

Printed in the paper (Table III): 64 x 64, 64 crossbars a tile, 25 pJ to read a crossbar for one token, 118 pJ and
3.3 us to write one.

Recovered from its Tables IV and V, which these constants reproduce (area exactly, energy and EDAP
within 0.5 %, delay within 0.2 %):

- ``TILE_AREA_MM2``: 12 encoders of 34 tiles are 775.2 mm2, 16 of 30 are 912.0 mm2, both exactly.
- ``READ_DELAY_US`` and ``SOFTMAX_NS``: the rounding of the eleven printed delays leaves 0.0906 ms for projection
  and MLP and 0.8190 ms for attention, each within 0.0001 ms. Three layers of t tokens in 8 input bits make the
  first. Taking t row-by-row writes and three reads from the second leaves the softmax; that division is a
  hypothesis, their sum is not.
- ``SOFTMAX_PJ``: what energy = EDAP / (delay * area) rises by an encoder with attention, without reads and writes.

Where the paper contradicts itself:

- The printed 0.02 us a read (SRAM: 0.018) gives 1.8 % too much delay for TReX-D-4; 0.01916 us lies between the two.
- Its equation for writes (Table II) gives 0.05 ms an encoder, but writes are said to be 80 % of the delay; 0.65 ms,
  a write for every token, fits.
- The transformation block is in the text but in no table: area falls by the whole attention, 24.7 mm2. With
  ``transform=True`` it is counted.
- Algorithm 1 returns one encoder more than the least that meets the target; text and tables have the least.
- Tables are about FeFET alone; an 8-bit activation times an 8-bit value in K^T and V takes four crossbars there too.
"""

from math import ceil

from .cost import ReuseCost
from .geometry import Geometry

CROSSBAR = 64
CROSSBARS_A_TILE = 64
CELLS_A_WEIGHT = 4
INPUT_BITS = 8
READ_PJ = 25.0
WRITE_PJ = 118.0
WRITE_US = 3.3
TILE_AREA_MM2 = 1.9
READ_DELAY_US = 0.01916
SOFTMAX_PJ = 6.33
SOFTMAX_NS = 2.018


def crossbars(inputs: int, outputs: int) -> int:
    """Crossbars that a layer fills."""
    return ceil(inputs / CROSSBAR) * ceil(outputs / CROSSBAR) * CELLS_A_WEIGHT


def tiles(inputs: int, outputs: int) -> int:
    """Whole tiles that a layer takes."""
    return ceil(crossbars(inputs, outputs) / CROSSBARS_A_TILE)


def crossbar_cost(geometry: Geometry, reuse: int, transform: bool = False) -> ReuseCost:
    """Energy, delay and area of a model with ``reuse`` encoders that reuse attention.

    ``transform`` counts their transformation blocks, which the paper's tables do not. Raises UserError for
    more reuse encoders than there can be.
    """
    geometry.check_reuse(reuse)
    width, hidden = geometry.dim, geometry.hidden
    remaining = _static(geometry, [(width, width)], [(width, hidden)], [(hidden, width)])
    total = remaining * geometry.encoders + _attention(geometry) * (geometry.encoders - reuse)
    if transform:
        total += _static(geometry, [(width, width)]) * reuse
    return total


def _static(geometry: Geometry, *stages: list[tuple[int, int]]) -> ReuseCost:
    """Layers [inputs, outputs] by stage; those of a stage are read at the same time."""
    layers = [layer for stage in stages for layer in stage]
    return ReuseCost(
        energy_mj=1e-9 * READ_PJ * geometry.tokens * sum(crossbars(*layer) for layer in layers),
        delay_ms=1e-3 * READ_DELAY_US * INPUT_BITS * geometry.tokens * len(stages),
        area_mm2=TILE_AREA_MM2 * sum(tiles(*layer) for layer in layers),
    )


def _attention(geometry: Geometry) -> ReuseCost:
    """Q, K, V; K^T and V written; QK^T; softmax; AV."""
    tokens, width = geometry.tokens, geometry.dim
    reads = _static(geometry, [(width, width)] * 3, [(width, tokens)], [(tokens, width)])
    written = crossbars(width, tokens) + crossbars(tokens, width)
    elements = tokens**2
    return reads + ReuseCost(
        energy_mj=1e-9 * (WRITE_PJ * written + SOFTMAX_PJ * geometry.heads * elements),
        delay_ms=1e-3 * WRITE_US * tokens + 1e-6 * SOFTMAX_NS * elements,
        area_mm2=0.0,
    )
