"""Top level: an AXI4-Stream in, the control, the mesh, what stands under its columns, an AXI4-Stream out.

``spec.beats`` says what a beat does; ``spec.interpreter`` is the contract in whole numbers. Nothing but wires stands
between the parts.

========================== ==============================================================================
cycle after the beat       tile column j
========================== ==============================================================================
j + 1                      the mesh reads the word to add to: bias or accumulator
mesh rows + j + 1          the sum: stored, or multiplied by the requantiser
mesh rows + j + 2          rounded and limited, into the lane's register
mesh rows + mesh columns   + 2: the answer stands at ``m_axis``
========================== ==============================================================================
"""

from typing import Any

from amaranth.hdl import Cat, ClockDomain, Const, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from slipstick.errors import UserError
from slipstick.store import digest

from ..parts.place import Library, place
from ..spec.beats import CONSTANT_BITS, CONSTANTS, FIELDS, MAX_ROWS, OF_COLUMN
from ..spec.machine import AcceleratorConfig
from ..spec.widths import LANE_BITS
from .banks import place_banks
from .column import AccumulatorColumn
from .control import Control, steps
from .mesh import Mesh, sums_layout
from .register import Register

SELECTS = ("read_set", "write_set", "finish_set")
"""What chooses the set of each constant of ``OF_COLUMN``."""


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
        self.content = digest(config.as_json())
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
        """Stream in, control, mesh, columns, stream out."""
        m = Module()
        m.domains.sync = clock = ClockDomain()
        m.d.comb += [clock.clk.eq(self.aclk), clock.rst.eq(~self.aresetn)]
        config, rows = self.config, self.config.array.rows
        inputs = {
            "user": self.s_axis_tuser, "last": self.s_axis_tlast, "valid": self.s_axis_tvalid,
            "weight": self._weight(0), "answer_ready": self.m_axis_tready,
        }  # fmt: skip
        control = place(m, "control", self._library, Control, config, inputs=inputs)
        m.d.comb += [
            self.s_axis_tready.eq(control.ready), self.m_axis_tvalid.eq(control.answer_valid),
            self.m_axis_tlast.eq(control.answer_last),
        ]  # fmt: skip
        sums_in = Signal(sums_layout(config))
        lanes = {
            "advance": control.advance, "valid": control.row_taken, "bank": control.bank,
            "activations": self.s_axis_tdata[: 8 * rows], "weights": self.s_axis_tdata[8 * rows :],
            "write": control.write, "write_bank": control.write_bank, "sums_in": sums_in,
        }  # fmt: skip
        mesh = place(m, "mesh", self._library, Mesh, config, inputs=lanes)
        sums = data.View(sums_layout(config), Value.cast(mesh.sums_out))
        all_steps = data.View(data.ArrayLayout(steps(config), config.mesh[1]), Value.cast(control.columns))
        constants = [
            one for j in range(config.mesh[1]) for one in self._constants(m, j, control, all_steps[j])
        ]  # fmt: skip
        for column in range(config.array.columns):
            j = column // config.tile_columns
            inputs = {name: all_steps[j][name] for name in steps(config).members if name not in SELECTS}
            inputs |= constants[column] | {"sum": sums[f"column_{column}"]}
            shape = config.sum_width(column), config.accumulator_rows
            placed = place(m, f"column_{column}", self._library, AccumulatorColumn, *shape, inputs=inputs)
            m.d.comb += sums_in[f"column_{column}"].eq(placed.start)
            lane = Value.cast(placed.lane)
            for cycle in range(config.mesh[1] - 1 - j):
                later = {"d": lane, "advance": control.advance, "valid": Const(1, 1)}
                name = f"lane_{column}_{cycle + 1}"
                lane = Value.cast(place(m, name, self._library, Register, LANE_BITS, inputs=later).q)
            m.d.comb += self.m_axis_tdata.word_select(column, LANE_BITS).eq(lane)
        return m

    def _weight(self, column: int) -> Value:
        start = 8 * (self.config.array.rows + column)
        return self.s_axis_tdata[start : start + 8]

    def _constants(self, m: Module, j: int, control: Any, step: data.View) -> list[dict[str, Value]]:
        """Both sets of every constant of the columns of tile column j, byte by byte; each column's chosen ones."""
        columns = range(j * self.config.tile_columns, (j + 1) * self.config.tile_columns)
        found: list[dict[str, Value]] = [{} for _ in columns]
        byte = 0
        for name, select in zip(OF_COLUMN, SELECTS, strict=True):
            widths = [self.config.sum_width(column) if name == "bias" else CONSTANT_BITS[name] for column in columns]
            parts: list[list[Value]] = [[] for _ in columns]
            for index in range(CONSTANTS[name]):
                bits = [min(8, max(0, width - 8 * index)) for width in widths]
                if not any(bits):  # sums this narrow need no such byte
                    m.d.comb += Signal(name=f"{name}_t{j}_byte{index}_unused").eq(control.configure[byte])
                words = [self._weight(column)[:count] for column, count in zip(columns, bits, strict=True)]
                chosen = place_banks(
                    m, f"{name}_t{j}_byte{index}", self._library, words, write=control.configure[byte],
                    write_bank=control.configure_set, bank=step[select],
                )  # fmt: skip
                for part, word in zip(parts, chosen, strict=True):
                    part.append(word)
                byte += 1
            for column, part in zip(found, parts, strict=True):
                column[name] = Cat(*part).as_signed() if name == "bias" else Cat(*part)
        return found
