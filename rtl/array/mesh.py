"""The systolic mesh: tiles of r x c products, registers between tiles only.

::

    activations --encoder--> | tile | -> | tile |      encoded activations go right, one tile a cycle
                 1 cycle  -> | tile | -> | tile |      sums go down, one tile a cycle
                                |           |
                             sums of      sums of      the columns of tile column j leave j cycles
                             column 0     column 1     after those of tile column 0

Inside a tile r rows are reduced by one adder tree and activations are broadcast to c columns. Tiles of
1 x 1 are the classical array, one tile of R x C is a dot-product unit.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from slipstick.store import digest

from ..cells.dot_form import DotForm, Encoding, dot_form, shared_encoding
from ..parts.gates import gathered
from ..parts.place import Library, place
from ..spec.machine import AcceleratorConfig
from .banks import place_banks
from .dot_column import DotColumn, kept_encoded
from .product import Encoder
from .register import Register
from .tags import MeshTags

Word = dict[int, Value]  # the bits of an encoded activation that go on, by their place in it


class Mesh(Component):
    """Every cycle takes one row of activations and adds their products to C sums.

    Members: ``advance`` In moves everything but the weights; ``activations`` In, R lanes of int8, taken where
    ``valid`` In, multiply the weights of bank ``bank`` In; ``sums_in`` In and ``sums_out`` Out, a field
    ``column_<c>`` a column. For columns of tile column j the word to add to is read j + 1 cycles after the
    activations were taken, and the sum is there ``mesh rows`` cycles after that. ``weights`` In, C lanes of
    int8, go to the rows of ``write`` In (one bit a row) in bank ``write_bank`` In, which must not multiply.
    """

    clocked = resettable = True
    module_name = "mesh"

    def __init__(self, config: AcceleratorConfig, library: Library | None = None) -> None:
        self.config, self._library = config, library
        self.content = digest(config.as_json())
        rows, columns = config.array.rows, config.array.columns
        super().__init__({
            "advance": In(1), "valid": In(1), "bank": In(1),
            "activations": In(data.ArrayLayout(signed(8), rows)),
            "weights": In(data.ArrayLayout(signed(8), columns)), "write": In(rows), "write_bank": In(1),
            "sums_in": In(sums_layout(config)), "sums_out": Out(sums_layout(config)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Wires between the tags, the encoded activations of every row, and the columns of every tile."""
        m = Module()
        tile_rows, tile_columns = self.config.mesh
        inputs = {"advance": self.advance, "valid": self.valid, "bank": self.bank}
        tags = place(m, "tags", self._library, MeshTags, tile_rows + tile_columns - 1, inputs=inputs)
        arriving = [self.valid, *tags.standing]
        m.d.comb += Signal(name="last_standing_unused").eq(tags.standing[-1])  # no tile stands behind the last
        encodings = [self._encoding(row) for row in range(self.config.array.rows)]
        weights = [self._kept_weights(m, column) for column in range(self.config.array.columns)]
        above = [self.sums_in[f"column_{c}"] for c in range(self.config.array.columns)]
        for i in range(tile_rows):
            encoded = {row: self._encoded(m, row, i, encodings[row], arriving) for row in self._rows(i)}
            for j in range(tile_columns):
                if j:
                    encoded = {
                        row: self._moved(m, row, j, word, encodings[row], arriving[i + j])
                        for row, word in encoded.items()
                    }
                columns = range(j * self.config.tile_columns, (j + 1) * self.config.tile_columns)
                held = {
                    row: self._banked(m, row, j, [weights[c][row] for c in columns], tags.banks[i + j])
                    for row in self._rows(i)
                }
                for number, column in enumerate(columns):
                    inputs = {
                        "activations": self._operands(column, encoded, encodings),
                        "weights": Cat(*(words[number] for words in held.values())),
                        "compute": tags.compute[i + j], "sum_in": above[column],
                    }  # fmt: skip
                    cells = tuple(self.config.array.mix.at(row, column) for row in self._rows(i))
                    name, width = f"dot_t{i}_c{column}", self.config.sum_width(column)
                    placed = place(m, name, self._library, DotColumn, cells, width, inputs=inputs)
                    above[column] = placed.sum_out
        m.d.comb += [self.sums_out[f"column_{c}"].eq(above[c]) for c in range(self.config.array.columns)]
        return m

    def _kept_weights(self, m: Module, column: int) -> list[Value]:
        """What the banks of every row keep of a column's weight; encoded once for all rows."""
        forms = [dot_form(cell) for cell in self.config.array.column_cells(column)]
        weight = self.weights[column]
        encoded = list(dict.fromkeys(form for form in forms if kept_encoded(form)))
        words: dict[DotForm, Value] = {}
        if encoded:
            shared = shared_encoding([form.weight for form in encoded])
            inputs = {"operand": weight}
            encoder = place(m, f"weight_encoder_c{column}", self._library, Encoder, shared, inputs=inputs)
            words = {
                form: gathered(encoder.encoded, places) for form, places in zip(encoded, shared.places, strict=True)
            }
        return [words.get(form, Value.cast(weight)) for form in forms]

    def _banked(self, m: Module, row: int, j: int, words: list[Value], bank: Value) -> list[Value]:
        name = f"weights_r{row}_t{j}"
        selects = {"write": self.write[row], "write_bank": self.write_bank, "bank": bank}
        return place_banks(m, name, self._library, words, **selects)

    def _rows(self, tile_row: int) -> range:
        return range(tile_row * self.config.tile_rows, (tile_row + 1) * self.config.tile_rows)

    def _encoding(self, row: int) -> Encoding:
        """What the cells of one row read of its activation."""
        return shared_encoding([dot_form(one).activation for one in self.config.array.mix.grid[row]])

    def _encoded(self, m: Module, row: int, skew: int, encoding: Encoding, arriving: list[Value]) -> Word:
        """The register before a row's first tile, ``skew`` cycles behind the others; encoded once for all columns."""
        operand: Any = self.activations[row].as_unsigned()
        for cycle in range(skew):
            operand = self._register(m, operand, f"skew_r{row}_{cycle + 1}", arriving[cycle])
        inputs = {"operand": operand.as_signed()}
        encoder = place(m, f"encoder_r{row}", self._library, Encoder, encoding, inputs=inputs)
        word = self._register(m, encoder.encoded, f"activation_r{row}_t0", arriving[skew])
        return dict(enumerate(word))

    def _moved(self, m: Module, row: int, j: int, word: Word, encoding: Encoding, arriving: Value) -> Word:
        """The register before tile column j: the bits that this and later columns read."""
        read = sorted({bit for places in encoding.places[j * self.config.tile_columns :] for bit in places})
        moved = self._register(m, Cat(*(word[bit] for bit in read)), f"activation_r{row}_t{j}", arriving)
        return dict(zip(read, moved, strict=True))

    def _register(self, m: Module, value: Value, name: str, arriving: Value) -> Value:
        inputs = {"d": value, "advance": self.advance, "valid": arriving}
        return place(m, name, self._library, Register, len(value), inputs=inputs).q

    def _operands(self, column: int, encoded: dict[int, Word], encodings: list[Encoding]) -> Value:
        """The encoded words that the cells of one column in one tile read."""
        return Cat(*(word[bit] for row, word in encoded.items() for bit in encodings[row].places[column]))


def sums_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One signed field ``column_<c>`` a column, as wide as its sums."""
    return data.StructLayout({
        f"column_{column}": signed(config.sum_width(column)) for column in range(config.array.columns)
    })  # fmt: skip
