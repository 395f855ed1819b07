"""Top level: an AXI4-Stream in, the mesh, what stands under its columns, an AXI4-Stream out.

``spec.beats`` says what a beat does; ``spec.interpreter`` is the contract in whole numbers. The tag of a
row of activations travels with it: bit s of a tag's register stands s + 1 cycles behind the beat. While an
answer cannot leave, everything stops; a beat that would overtake what it depends on waits.

========================== ==============================================================================
cycle after the beat       tile column j
========================== ==============================================================================
j + 1                      the mesh reads the word to add to: bias or accumulator
mesh rows + j + 1          the sum: stored, or multiplied by the requantiser
mesh rows + j + 2          rounded and limited, into the lane's register
mesh rows + mesh columns   + 2: the answer stands at ``m_axis``
========================== ==============================================================================
"""

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from slipstick.errors import UserError

from ..place import Library, place
from ..spec.beats import CONSTANTS, FIELDS, MAX_ROWS, OF_LAYER
from ..spec.machine import AcceleratorConfig
from ..spec.widths import LANE_BITS
from .column import CONSTANT_BYTES, AccumulatorColumn
from .mesh import Mesh, sums_layout

Tags = dict[str, list[Signal]]


class Accelerator(Component):
    """The accelerator of one ``AcceleratorConfig``.

    Members: ``aclk``, ``aresetn`` In; ``s_axis_t{data,user,last,valid}`` In, ``s_axis_tready`` Out;
    ``m_axis_t{data,last,valid}`` Out, ``m_axis_tready`` In. Up to one beat a cycle. Raises UserError for
    accumulators wider than the 32 bits of an answer lane, or more rows than a beat can name.
    """

    clocked = False  # the clock is a member: aclk
    module_name = "accelerator"

    def __init__(self, config: AcceleratorConfig, library: Library | None = None) -> None:
        self.config, self._library = config, library
        rows, columns = config.array.rows, config.array.columns
        widest = max(config.sum_width(column) for column in range(columns))
        if widest > LANE_BITS:
            raise UserError(
                f"a depth of {config.depth} tiles of {rows} rows takes accumulators of {widest} bits; "
                f"answers carry {LANE_BITS}; use a smaller depth"
            )
        most = (1 << FIELDS["address"]) - sum(CONSTANTS.values())
        if config.accumulator_rows > MAX_ROWS or rows > most:
            raise UserError(
                f"beats name up to {MAX_ROWS} rows of accumulators and {most} rows of weights, "
                f"not {config.accumulator_rows} and {rows}"
            )
        super().__init__({
            "aclk": In(1), "aresetn": In(1),
            "s_axis_tdata": In(8 * (rows + columns)), "s_axis_tuser": In(sum(FIELDS.values())), "s_axis_tlast": In(1),
            "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
            "m_axis_tdata": Out(LANE_BITS * columns), "m_axis_tlast": Out(1),
            "m_axis_tvalid": Out(1), "m_axis_tready": In(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Stream in, tags, mesh, columns, stream out."""
        m = Module()
        m.domains.sync = clock = ClockDomain()
        m.d.comb += [clock.clk.eq(self.aclk), clock.rst.eq(~self.aresetn)]
        beat = data.View(data.StructLayout(FIELDS), self.s_axis_tuser)
        advance, accept = Signal(), Signal()
        tags = self._tags(m, beat, advance, accept)
        m.d.comb += [
            advance.eq(~self.m_axis_tvalid | self.m_axis_tready),
            self.s_axis_tready.eq(advance & ~self._waits(m, beat, tags)),
            accept.eq(self.s_axis_tvalid & self.s_axis_tready),
        ]
        limits = self._limits(m, beat, accept, tags)
        self._columns(m, beat, accept, advance, tags, limits)
        return m

    def _tags(self, m: Module, beat: data.View, advance: Signal, accept: Signal) -> Tags:
        """Registers of every field that travels with a row of activations, and what leaves at their end."""
        tile_rows, tile_columns = self.config.mesh
        stored = tile_rows + tile_columns  # stages until the sums of all columns are stored or multiplied
        row_bits = max(1, ceil_log2(self.config.accumulator_rows))
        travelling = {
            "compute": (accept & beat.compute, stored + 1), "first": (beat.first, tile_columns),
            "last": (beat.last, stored + 1), "raw": (beat.raw, stored + 1), "bank": (beat.bank, stored),
            "constants": (beat.constants, stored + 1), "row": (beat.row[:row_bits], stored),
            "end": (self.s_axis_tlast, stored + 1),
        }  # fmt: skip
        tags: Tags = {}
        for name, (value, stages) in travelling.items():
            tags[name] = []
            for stage in range(stages):
                register = Signal(len(value), name=f"{name}_{stage + 1}", reset_less=name != "compute")
                with m.If(advance):
                    m.d.sync += register.eq(value)
                tags[name].append(register)
                value = register
        with m.If(advance):
            m.d.sync += [
                self.m_axis_tvalid.eq(tags["compute"][-1] & tags["last"][-1]),
                self.m_axis_tlast.eq(tags["end"][-1]),
            ]
        unused = Signal()
        m.d.comb += unused.eq(Cat(beat.row, beat.address).all())
        return tags

    def _waits(self, m: Module, beat: data.View, tags: Tags) -> Signal:
        """Whether a row under way must come before the beat at ``s_axis``."""
        tile_rows, tile_columns = self.config.mesh
        reasons = []
        row_bits = len(tags["row"][0])
        for stage in range(tile_rows):  # its sum is not stored yet
            stores = tags["compute"][stage] & ~tags["last"][stage]
            reasons.append(beat.compute & ~beat.first & stores & (tags["row"][stage] == beat.row[:row_bits]))
        of_weights = Signal()
        m.d.comb += of_weights.eq(beat.address < self.config.array.rows)
        for stage in range(tile_rows + tile_columns):  # it still reads what the beat writes
            held = tags["bank"][stage] == beat.write_bank, tags["constants"][stage] == beat.write_bank
            reads = (of_weights & held[0]) | (~of_weights & held[1])
            reasons.append(beat.write & tags["compute"][stage] & reads)
        waits = Signal()
        m.d.comb += waits.eq(Cat(*reasons).any())
        return waits

    def _limits(self, m: Module, beat: data.View, accept: Signal, tags: Tags) -> list[dict[str, Signal]]:
        """``zero``, ``low`` and ``high`` that every tile column finishes with; both sets come in lane 0."""
        tile_rows, tile_columns = self.config.mesh
        chosen = [
            {name: Signal(signed(8), name=f"{name}_t{j}") for name in OF_LAYER} for j in range(tile_columns)
        ]  # fmt: skip
        for place_of, name in enumerate(OF_LAYER):
            sets = []
            for number in range(2):
                register = Signal(signed(8), name=f"{name}_{number}", reset_less=True)
                address = self.config.array.rows + CONSTANT_BYTES + place_of
                with m.If(accept & beat.write & (beat.address == address) & (beat.write_bank == number)):
                    m.d.sync += register.eq(self._weight(0))
                sets.append(register)
            for j, limits in enumerate(chosen):
                which = tags["constants"][tile_rows + j + 1]
                m.d.comb += limits[name].eq(Mux(which, sets[1], sets[0]))
        return chosen

    def _weight(self, column: int) -> Value:
        start = 8 * (self.config.array.rows + column)
        return self.s_axis_tdata[start : start + 8]

    def _columns(
        self, m: Module, beat: data.View, accept: Signal, advance: Signal, tags: Tags, limits: list[dict[str, Signal]]
    ) -> None:
        """The mesh between the columns' words, and the lanes of the answers."""
        config = self.config
        rows, columns, (tile_rows, tile_columns) = config.array.rows, config.array.columns, config.mesh
        write = Signal(rows)
        configure = Signal(CONSTANT_BYTES)
        for address, flag in enumerate([*write, *configure]):
            m.d.comb += flag.eq(accept & beat.write & (beat.address == address))
        sums_in = Signal(sums_layout(config))
        lanes = {
            "advance": advance, "valid": accept & beat.compute, "bank": beat.bank,
            "activations": self.s_axis_tdata[: 8 * rows], "weights": self.s_axis_tdata[8 * rows :],
            "write": write, "write_bank": beat.write_bank, "sums_in": sums_in,
        }  # fmt: skip
        mesh = place(m, "mesh", self._library, Mesh, config, inputs=lanes)
        sums = data.View(sums_layout(config), Value.cast(mesh.sums_out))
        for column in range(columns):
            j = column // config.tile_columns
            store, finish = tile_rows + j, tile_rows + j + 1
            storing, finishing = tags["compute"][store] & advance, tags["compute"][finish] & advance
            inputs = {
                "read_row": tags["row"][j], "read_set": tags["constants"][j], "first": tags["first"][j],
                "sum": sums[f"column_{column}"], "write_row": tags["row"][store], "write_set": tags["constants"][store],
                "store": storing & ~tags["last"][store], "multiply": storing & tags["last"][store],
                "raw": tags["raw"][store], "finish": finishing & tags["last"][finish],
                "finish_set": tags["constants"][finish], "finish_raw": tags["raw"][finish],
                "constant": self._weight(column), "configure": configure, "configure_set": beat.write_bank,
                **limits[j],
            }  # fmt: skip
            shape = config.sum_width(column), config.accumulator_rows
            placed = place(m, f"column_{column}", self._library, AccumulatorColumn, *shape, inputs=inputs)
            m.d.comb += sums_in[f"column_{column}"].eq(placed.start)
            lane: Value = placed.lane
            for cycle in range(tile_columns - 1 - j):
                register = Signal(signed(LANE_BITS), name=f"lane_{column}_{cycle + 1}", reset_less=True)
                with m.If(advance):
                    m.d.sync += register.eq(lane)
                lane = register
            m.d.comb += self.m_axis_tdata.word_select(column, LANE_BITS).eq(lane)
