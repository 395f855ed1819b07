"""Co-simulation of a model's own products: recordings become jobs, jobs run on the Verilog."""

from collections.abc import Iterable, Sequence

from slipstick.errors import UnknownName, UserError
from slipstick.model.workload import Recording
from slipstick.rtl.spec.array import ArrayConfig
from slipstick.sim.vectors import GemmJob


def job(recording: Recording, columns: Sequence[int], product: int = 0) -> GemmJob:
    """One recorded product (an image, or a head of an image) on some columns of an array.

    Raises UserError for a product that does not exist.
    """
    products = len(recording.activations)
    if not 0 <= product < products:
        raise UserError(f"{recording.layer}: product {product} was not recorded; there are {products}")
    return GemmJob(
        layer=recording.layer,
        activations=recording.activations[product],
        weights=recording.stationary[product % len(recording.stationary)],
        bias=recording.bias_of(product),
        requant=recording.requant_of(product),
        columns=tuple(columns),
        accumulators=recording.accumulators[product],
        outputs=recording.outputs[product],
    )


def jobs(recordings: dict[str, Recording], layers: Iterable[str], config: ArrayConfig) -> list[GemmJob]:
    """The first recorded product of each layer on all columns of an array; UnknownName for another layer."""
    chosen = []
    for layer in layers:
        if layer not in recordings:
            raise UnknownName("layer", layer, recordings)
        chosen.append(job(recordings[layer], range(config.columns)))
    return chosen


def attention_layers(recordings: dict[str, Recording]) -> tuple[str, ...]:
    """qkv, QK^T and AV of the first block that has them; else the first three layers."""
    for name in recordings:
        block = tuple(f"{name.removesuffix('.qkv')}.{part}" for part in ("qkv", "qk", "av"))
        if name.endswith(".qkv") and all(part in recordings for part in block):
            return block
    return tuple(recordings)[:3]
