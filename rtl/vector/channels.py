"""Constants of a layer's channels, read in the order in which a row's beats pass."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, ValueLike
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.utils import ceil_log2


def channel_constants(
    m: Module,
    constants: list[dict[str, int]],
    layout: data.StructLayout,
    lanes: int,
    *,
    moving: ValueLike,
    last: ValueLike,
) -> Any:
    """The constants of a beat's lanes, one cycle after ``moving``: a memory of a word for each beat of a row.

    ``last`` marks the end of a row. A single constant is that of all channels.
    """
    if len(constants) == 1:
        constants = constants * lanes
    spare = -len(constants) % lanes
    constants = constants + [dict.fromkeys(layout.members, 0)] * spare
    words = [constants[start : start + lanes] for start in range(0, len(constants), lanes)]
    m.submodules.channels = memory = Memory(shape=data.ArrayLayout(layout, lanes), depth=len(words), init=words)
    port = memory.read_port()
    place = Signal(ceil_log2(len(words)), name="channel_beat")
    m.d.comb += [port.addr.eq(place), port.en.eq(moving)]
    with m.If(moving):
        m.d.sync += place.eq(Mux(last, 0, place + 1))
    return port.data
