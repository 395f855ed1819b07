"""Top level: an AXI4-Stream in, the systolic array, accumulators, requantisers, an AXI4-Stream out.

``s_axis_tuser`` is the kind of a beat and decides what ``s_axis_tdata`` means; ``spec.schedule``
describes the kinds, builds such streams from matrices and reads the answers.

Only activations may follow activations at once. Any other beat waits until the array is empty, and
everything waits while a drain reads the accumulators, so results never depend on when beats come.
Gaps of the input travel through the array as bubbles without a valid tag; back-pressure on the output
stops the three stages of the drain and nothing else.
"""

from types import SimpleNamespace

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from slipstick.errors import UserError

from .column import AccumulatorColumn
from .place import Library, place
from .spec.array import ArrayConfig
from .spec.schedule import (
    COLUMN_FIELDS,
    DRAIN_FIELDS,
    KIND_BITS,
    MAX_ACCUMULATOR_ROWS,
    MAX_COLUMNS,
    SIGNED_FIELDS,
    Kind,
    data_bytes,
)  # fmt: skip
from .spec.widths import LANE_BITS
from .systolic import SystolicArray, sums_layout


class Accelerator(Component):
    """``accumulator_rows`` rows of accumulators, wide enough for ``depth`` tiles of R reduction rows.

    Members: ``aclk``, ``aresetn`` In; ``s_axis_t{data,user,last,valid}`` In, ``s_axis_tready`` Out;
    ``m_axis_t{data,last,valid}`` Out, ``m_axis_tready`` In. One beat a cycle; a row of activations
    reaches its accumulators R + C + 1 cycles after it was taken, a drain answers after 4 cycles.
    Raises UserError for accumulators wider than the 32 bits of an answer lane.
    """

    clocked = False  # the clock is a member: aclk
    module_name = "accelerator"

    def __init__(
        self, config: ArrayConfig, accumulator_rows: int = 256, depth: int = 64, library: Library | None = None
    ) -> None:
        self.config, self.accumulator_rows, self.depth, self._library = config, accumulator_rows, depth, library
        self.widths = [config.accumulator_width(column, depth) for column in range(config.columns)]
        if max(self.widths) > LANE_BITS:
            raise UserError(
                f"a depth of {depth} tiles of {config.rows} rows takes accumulators of {max(self.widths)} bits; "
                f"answers carry {LANE_BITS}; use a smaller depth"
            )
        if config.columns > MAX_COLUMNS or not 2 <= accumulator_rows <= MAX_ACCUMULATOR_ROWS:
            raise UserError(
                f"an accelerator has up to {MAX_COLUMNS} columns and 2 to {MAX_ACCUMULATOR_ROWS} rows of "
                f"accumulators, not {config.columns} and {accumulator_rows}"
            )
        super().__init__({
            "aclk": In(1), "aresetn": In(1),
            "s_axis_tdata": In(8 * data_bytes(config)), "s_axis_tuser": In(KIND_BITS), "s_axis_tlast": In(1),
            "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
            "m_axis_tdata": Out(LANE_BITS * config.columns), "m_axis_tlast": Out(1),
            "m_axis_tvalid": Out(1), "m_axis_tready": In(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Stream in, array, columns, and the drain's control."""
        m = Module()
        m.domains.sync = clock = ClockDomain()
        m.d.comb += [clock.clk.eq(self.aclk), clock.rst.eq(~self.aresetn)]

        accept = Signal()
        m.d.comb += accept.eq(self.s_axis_tvalid & self.s_axis_tready)
        kind = {kind: Signal(name=f"is_{kind.name.lower()}") for kind in Kind}
        for number, flag in kind.items():
            m.d.comb += flag.eq(self.s_axis_tuser == number)
        carries_activations = Signal()
        m.d.comb += carries_activations.eq(kind[Kind.ACTIVATIONS] | kind[Kind.ACTIVATIONS_FIRST])
        unused = Signal()  # narrow arrays read few bits of a command, and lint asks who reads the others
        m.d.comb += unused.eq(self.s_axis_tdata.all())

        # One beat for the array, held one cycle.
        beat = Signal(8 * max(self.config.rows, self.config.columns), reset_less=True)
        load = Signal()
        m.d.sync += load.eq(accept & kind[Kind.WEIGHTS])
        with m.If(accept & (carries_activations | kind[Kind.WEIGHTS])):
            m.d.sync += beat.eq(self.s_axis_tdata)
        lanes = {"activations": beat[: 8 * self.config.rows], "weights": beat[: 8 * self.config.columns], "load": load}
        array = place(m, "array", self._library, SystolicArray, self.config, inputs=lanes)
        sums = data.View(sums_layout(self.config), Value.cast(array.sums))

        # Tags travel with the activations: bit 0 beside ``beat``, the last bit beside its sums.
        latency = self.config.rows + self.config.columns - 1
        valid = Signal(latency + 1)
        first = Signal(latency + 1, reset_less=True)
        m.d.sync += [
            valid.eq(Cat(accept & carries_activations, valid[:-1])),
            first.eq(Cat(kind[Kind.ACTIVATIONS_FIRST], first[:-1])),
        ]
        row_bits = ceil_log2(self.accumulator_rows)
        row = Signal(row_bits)
        write_row = Signal(row_bits, reset_less=True)
        m.d.sync += write_row.eq(row)
        with m.If(load):
            m.d.sync += row.eq(0)
        with m.Elif(valid[latency - 1]):
            m.d.sync += row.eq(row + 1)

        drain = self._drain_control(m, accept, kind, row_bits)
        m.d.comb += self.s_axis_tready.eq(~drain.busy & (carries_activations | ~valid.any()))
        read = Signal()
        read_row = Signal(row_bits)
        m.d.comb += [
            read.eq(drain.read | valid[latency - 1]),
            read_row.eq(Mux(drain.read, drain.row, row)),
        ]
        parameters = self._fields(COLUMN_FIELDS)
        for column, width in enumerate(self.widths):
            configure = Signal(name=f"configure_{column}")
            m.d.comb += configure.eq(accept & kind[Kind.COLUMN] & (parameters.column == column))
            inputs = {
                "sum": sums[f"column_{column}"], "first": first[latency],
                "read": read, "read_row": read_row, "write": valid[latency], "write_row": write_row,
                "configure": configure, "bias": parameters.bias[:width],
                "multiplier": parameters.multiplier, "shift": parameters.shift,
                "raw": drain.raw, **drain.limits, "multiply": drain.multiply, "finish": drain.finish,
            }  # fmt: skip
            shape = (self.config.partial_sum_width(column), width, self.accumulator_rows)
            placed = place(m, f"column_{column}", self._library, AccumulatorColumn, *shape, inputs=inputs)
            m.d.comb += self.m_axis_tdata.word_select(column, LANE_BITS).eq(placed.lane)
        return m

    def _drain_control(self, m: Module, accept: Signal, kind: dict[Kind, Signal], row_bits: int) -> SimpleNamespace:
        """Three stages, read, multiply, finish, which all stop while the output register cannot leave."""
        reading = Signal()
        multiplying = Signal()
        finishing = Signal()
        advance = Signal()
        m.d.comb += advance.eq(~self.m_axis_tvalid | self.m_axis_tready)

        row = Signal(row_bits, name="drain_row", reset_less=True)
        last_row = Signal(row_bits, reset_less=True)
        ending = Signal()
        marked = Signal(name="marked_last", reset_less=True)
        last_multiplying = Signal(reset_less=True)
        last_finishing = Signal(reset_less=True)
        m.d.comb += ending.eq(row == last_row)
        with m.If(advance):
            m.d.sync += [
                multiplying.eq(reading),
                last_multiplying.eq(ending & marked),
                finishing.eq(multiplying),
                last_finishing.eq(last_multiplying),
                self.m_axis_tvalid.eq(finishing),
                self.m_axis_tlast.eq(last_finishing),
            ]

        command = self._fields(DRAIN_FIELDS)
        raw = Signal(reset_less=True)
        limits = {name: Signal(signed(8), name=name, reset_less=True) for name in ("zero", "low", "high")}
        with m.If(accept & (kind[Kind.DRAIN_ACCUMULATORS] | kind[Kind.DRAIN_OUTPUTS])):
            m.d.sync += [
                reading.eq(1),
                row.eq(0),
                last_row.eq(command.last_row),
                marked.eq(self.s_axis_tlast),
                raw.eq(kind[Kind.DRAIN_ACCUMULATORS]),
            ]
            m.d.sync += [limit.eq(command[name]) for name, limit in limits.items()]
        with m.Elif(reading & advance):
            m.d.sync += [reading.eq(~ending), row.eq(row + 1)]

        flags = {name: Signal(name=f"drain_{name}") for name in ("busy", "read", "multiply", "finish")}
        m.d.comb += [
            flags["busy"].eq(reading | multiplying | finishing),
            flags["read"].eq(reading & advance),
            flags["multiply"].eq(multiplying & advance),
            flags["finish"].eq(finishing & advance),
        ]
        return SimpleNamespace(row=row, raw=raw, limits=limits, **flags)

    def _fields(self, fields: dict[str, int]) -> data.View:
        """``s_axis_tdata`` read as a command."""
        shapes = {name: signed(width) if name in SIGNED_FIELDS else width for name, width in fields.items()}
        return data.View(data.StructLayout(shapes), self.s_axis_tdata[: sum(fields.values())])
