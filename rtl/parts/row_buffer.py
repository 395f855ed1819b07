"""Rows that wait for what their own elements decide: beats in order, and one result a row."""

from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

RESULTS = 8  # results that may wait: short rows follow each other closely
SLACK = 4  # beats: the latency of the two queues


def row_beat(element: ShapeLike, lanes: int) -> data.StructLayout:
    """A beat of a row: ``data``, ``lanes`` elements; ``keep``, a bit for each that counts; ``last`` of the row."""
    return data.StructLayout({"data": data.ArrayLayout(element, lanes), "keep": lanes, "last": 1})


class RowBuffer(Component):
    """Holds beats until their row's result has come, then gives each beat with the result.

    Members: ``beats`` In, a stream of ``beat``, which has a field ``last``; ``results`` In, a stream of
    ``result``, one a row; ``o`` Out, a stream of both. One beat a cycle is sustained for rows of up to
    ``row_beats`` beats whose result comes up to ``latency`` cycles after their last beat. A longer row
    fills the buffer and stops it for ever.
    """

    def __init__(self, beat: data.StructLayout, result: ShapeLike, row_beats: int, latency: int = 0) -> None:
        self._beat, self._result, self.depth = beat, result, row_beats + latency + SLACK
        super().__init__({
            "beats": In(stream.Signature(beat)),
            "results": In(stream.Signature(result)),
            "o": Out(stream.Signature(data.StructLayout({"beat": beat, "result": result}))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Two queues."""
        m = Module()
        queues: dict[str, Any] = {}
        for name, depth in (("beats", self.depth), ("results", RESULTS)):
            source = getattr(self, name)
            queue = SyncFIFOBuffered(width=len(Value.cast(source.payload)), depth=depth)
            m.submodules[name] = queues[name] = queue
            m.d.comb += [
                queue.w_data.eq(source.payload), queue.w_en.eq(source.valid), source.ready.eq(queue.w_rdy),
            ]  # fmt: skip
        beats, results = queues["beats"], queues["results"]
        taken = Signal()
        m.d.comb += [
            self.o.payload.beat.eq(beats.r_data),
            self.o.payload.result.eq(results.r_data),
            self.o.valid.eq(beats.r_rdy & results.r_rdy),
            taken.eq(self.o.valid & self.o.ready),
            beats.r_en.eq(taken),
            results.r_en.eq(taken & self.o.payload.beat.last),
        ]
        return m


def split_row(m: Module, source: Any, buffer: RowBuffer, sink: Any) -> Signal:
    """Send every beat of ``source`` to ``buffer``, and with its row's last beat something to ``sink``, or wait.

    The caller drives ``sink.payload``. Returns whether a beat is moving.
    """
    last = source.payload.last
    moving = Signal(name="row_moving")
    m.d.comb += [
        buffer.beats.payload.eq(source.payload),
        source.ready.eq(buffer.beats.ready & (~last | sink.ready)),
        buffer.beats.valid.eq(source.valid & (~last | sink.ready)),
        sink.valid.eq(source.valid & last & buffer.beats.ready),
        moving.eq(source.valid & source.ready),
    ]
    return moving
