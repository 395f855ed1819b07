"""What attention reuse saves on our own array: cycles of the schedule that the Verilog takes beat for beat.

Counted are matrix products, in encoders with the transformation block and outside them. Softmax, LayerNorm, GELU and
residual sums are not products; the array waits for them, one after another, only where ``lanes`` are given.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from slipstick.flow.job.machine import AUTO, tile_of
from slipstick.model.workload import LayerShape
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.spec.timing import product_cycles

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


def cycles(
    shape: LayerShape,
    rows: int,
    columns: int,
    *,
    tile: str = AUTO,
    accumulator_rows: int = AcceleratorConfig.accumulator_rows,
) -> int:
    """Cycles of a product on an array of ``rows`` x ``columns`` in tiles, outputs alone, without back-pressure."""
    tile_rows, tile_columns = tile_of(tile, rows, columns)
    return shape.repeats * product_cycles(
        (shape.rows, shape.depth, shape.channels), rows=rows, columns=columns,
        mesh=(rows // tile_rows, columns // tile_columns), accumulator_rows=accumulator_rows,
    )  # fmt: skip


def matrices(part: str, shape: LayerShape) -> tuple[int, LayerShape]:
    """How many products of one matrix each a product of an encoder is, and one of them: Q, K, V, and every head's."""
    if part == "attn.qkv":
        return 3, replace(shape, channels=shape.channels // 3)
    return shape.repeats, replace(shape, repeats=1)


def vector_cycles(geometry: Geometry, reuses: bool, lanes: int, transform: bool = True) -> int:
    """Cycles of one encoder's rows in units beside the array that take ``lanes`` elements a cycle without a pause.

    The few cycles until a unit's first answer are not counted.
    """
    tokens, dim, hidden = geometry.tokens, geometry.dim, geometry.hidden
    rows = [(2 * tokens, dim), (tokens, dim), (tokens, hidden)]  # residual sums, the second LayerNorm, the MLP's GELU
    if reuses:
        rows += [(2 * tokens, dim)] if transform else []  # LayerNorm and GELU of the transformation block
    else:
        rows += [(tokens, dim), (geometry.heads * tokens, tokens)]  # the first LayerNorm, softmax
    return sum(count * ceil(length / lanes) for count, length in rows)


def systolic_delay_ms(
    geometry: Geometry,
    reuse: int,
    *,
    rows: int,
    columns: int,
    clock_mhz: float,
    tile: str = AUTO,
    outside: Iterable[LayerShape] = (),
    transform: bool = True,
    lanes: int | None = None,
) -> float:
    """Delay of one image with ``reuse`` encoders that reuse attention, one product after another on one array.

    ``tile`` are those of the array, as of ``machine``. ``outside`` are products outside the encoders; with ``lanes``
    the units beside the array work in series with it, each on so many elements a cycle. Raises UserError for more
    reuse encoders than there can be.
    """
    geometry.check_reuse(reuse)
    counts = [
        sum(cycles(shape, rows, columns, tile=tile) for shape in encoder_products(geometry, kind, transform).values())
        + (0 if lanes is None else vector_cycles(geometry, kind, lanes, transform))
        for kind in (False, True)
    ]
    total = (geometry.encoders - reuse) * counts[0] + reuse * counts[1]
    return 1e-3 * (total + sum(cycles(shape, rows, columns, tile=tile) for shape in outside)) / clock_mhz
