"""The weight-stationary systolic array: R x C processing elements and their skewed edges.

::

    activations  --row 0-->            PE - PE - PE       activations go right, one PE a cycle
                 --1 cycle, row 1-->   PE - PE - PE       sums go down, one PE a cycle
                                        |    |    |
                                     2 cycles 1   0       de-skew: all columns leave together
"""

from typing import Any

from amaranth.hdl import Const, Module, Signal, ValueLike, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from .pe import ProcessingElement
from .place import Library, place
from .spec.array import ArrayConfig


class SystolicArray(Component):
    """Every cycle takes one row of activations; ``latency`` cycles later gives its C sums.

    Members: ``activations`` In, R lanes of int8; ``weights`` In, C lanes of int8, which enter at row 0
    and move one row down while ``load`` In is high, so the row for the bottom comes first;
    ``sums`` Out, one field ``column_<c>`` of ``config.partial_sum_width(c)`` bits a column.
    Weights must not move while activations are under way (for ``latency`` cycles).
    """

    clocked = True
    module_name = "systolic_array"

    def __init__(self, config: ArrayConfig, library: Library | None = None) -> None:
        self.config, self._library = config, library
        super().__init__({
            "activations": In(data.ArrayLayout(signed(8), config.rows)),
            "weights": In(data.ArrayLayout(signed(8), config.columns)),
            "load": In(1),
            "sums": Out(sums_layout(config)),
        })  # fmt: skip

    @property
    def latency(self) -> int:
        """Cycles from a row of activations to its sums."""
        return self.config.rows + self.config.columns - 1

    def elaborate(self, platform: object) -> Module:
        """Two loops over neighbours between skewed edges."""
        m = Module()
        rows, columns = range(self.config.rows), range(self.config.columns)
        rightward = [delay(m, self.activations[r], r, name=f"skew_r{r}") for r in rows]
        weights_down = [self.weights[c] for c in columns]
        sums_down: list[ValueLike] = [Const(0, signed(self.config.partial_sum_width(c))) for c in columns]
        for r in rows:
            for c in columns:
                pe = self._place_element(
                    m, r, c, load=self.load, activation_in=rightward[r], weight_in=weights_down[c], sum_in=sums_down[c]
                )
                rightward[r], weights_down[c], sums_down[c] = pe.activation_out, pe.weight_out, pe.sum_out
        for c in columns:
            m.d.comb += self.sums[f"column_{c}"].eq(delay(m, sums_down[c], columns[-1] - c, name=f"deskew_c{c}"))
        return m

    def _place_element(self, m: Module, row: int, column: int, **inputs: ValueLike) -> Any:
        cell, width = self.config.mix.at(row, column), self.config.partial_sum_width(column)
        unused: tuple[str, ...] = ("weight_out",) if row == self.config.rows - 1 else ()
        if column == self.config.columns - 1:
            unused += ("activation_out",)
        name = f"pe_r{row}_c{column}_{cell.name}"
        return place(m, name, self._library, ProcessingElement, cell, width, inputs=inputs, unused=unused)


def sums_layout(config: ArrayConfig) -> data.StructLayout:
    """One signed field ``column_<c>`` a column, as wide as its sums."""
    widths = [config.partial_sum_width(column) for column in range(config.columns)]
    return data.StructLayout({f"column_{column}": signed(width) for column, width in enumerate(widths)})


def delay(m: Module, value: ValueLike, cycles: int, *, name: str) -> ValueLike:
    """``value``, ``cycles`` cycles later: registers ``<name>_1``, ``<name>_2``..., without reset."""
    for cycle in range(cycles):
        register = Signal.like(value, name=f"{name}_{cycle + 1}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
