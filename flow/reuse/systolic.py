"""What attention reuse saves on our own array: cycles of the schedule that the Verilog takes beat for beat.

Counted are matrix products, in encoders with the transformation block and outside them. Softmax, LayerNorm and GELU
are not products; the array does not wait for them here.
"""

from collections.abc import Iterable
from math import ceil

from slipstick.flow.cost.timeline import drain_cycles, tile_cycles
from slipstick.flow.job.verify import ACCUMULATOR_ROWS
from slipstick.model.workload import LayerShape

from .geometry import Geometry


def encoder_products(geometry: Geometry, reuses: bool, transform: bool = True) -> dict[str, LayerShape]:
    """The products of one encoder by the names that layers have below ``blocks.N``."""
    tokens, dim, heads = geometry.tokens, geometry.dim, geometry.heads
    head = dim // heads
    remaining = {
        "attn.proj": LayerShape("linear", tokens, dim, dim, 1),
        "mlp.fc1": LayerShape("linear", tokens, dim, geometry.hidden, 1),
        "mlp.fc2": LayerShape("linear", tokens, geometry.hidden, dim, 1),
    }
    if reuses:
        return remaining | ({"attn.transform.linear": remaining["attn.proj"]} if transform else {})
    return remaining | {
        "attn.qkv": LayerShape("linear", tokens, dim, 3 * dim, 1),
        "attn.qk": LayerShape("matmul", tokens, head, tokens, heads),
        "attn.av": LayerShape("matmul", tokens, tokens, head, heads),
    }


def cycles(shape: LayerShape, rows: int, columns: int) -> int:
    """Cycles of a product on an array of ``rows`` x ``columns``, outputs drained once, without back-pressure."""
    tiles, groups = ceil(shape.depth / rows), ceil(shape.channels / columns)
    total = columns  # biases come once, however many parts the accumulators hold
    for first in range(0, shape.rows, ACCUMULATOR_ROWS):
        part = min(ACCUMULATOR_ROWS, shape.rows - first)
        total += int(tiles * tile_cycles(rows, columns, part) + drain_cycles(0, part))
    return shape.repeats * groups * total


def systolic_delay_ms(
    geometry: Geometry,
    reuse: int,
    *,
    rows: int,
    columns: int,
    clock_mhz: float,
    outside: Iterable[LayerShape] = (),
    transform: bool = True,
) -> float:
    """Delay of one image with ``reuse`` encoders that reuse attention, one product after another on one array.

    ``outside`` are products outside the encoders. Raises UserError for more reuse encoders than there can be.
    """
    geometry.check_reuse(reuse)
    counts = [
        sum(cycles(shape, rows, columns) for shape in encoder_products(geometry, kind, transform).values())
        for kind in (False, True)
    ]
    total = (geometry.encoders - reuse) * counts[0] + reuse * counts[1]
    return 1e-3 * (total + sum(cycles(shape, rows, columns) for shape in outside)) / clock_mhz
