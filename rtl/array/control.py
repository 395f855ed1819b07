"""What decides when beats are taken and what becomes of them: tags, interlocks, constants of the layer.

The tag of a row of activations travels beside it: bit s of a tag's register stands s + 1 cycles behind the beat.
While an answer cannot leave, everything stops; a beat that would overtake what it depends on waits.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from slipstick.store import digest

from ..parts.place import Library
from ..spec.beats import CONSTANT_BYTES, FIELDS, OF_LAYER
from ..spec.machine import AcceleratorConfig
from .accumulators import row_bits

Tags = dict[str, list[Signal]]


class Control(Component):
    """The control of the accelerator of one ``AcceleratorConfig``.

    Members: the stream's ``user``, ``last``, ``valid`` and the ``weight`` byte of lane 0 In, ``ready`` Out;
    ``answer_ready`` In, ``answer_valid``, ``answer_last`` Out. Outputs to the mesh: ``advance``, ``row_taken``,
    ``bank``, ``write``, ``write_bank``; to all columns ``configure`` and ``configure_set``, to those of tile column j
    the fields of ``steps(config)`` in element j of ``columns``.
    """

    clocked = resettable = True
    module_name = "control"

    def __init__(self, config: AcceleratorConfig, library: Library | None = None) -> None:
        self.config = config
        self.content = digest(config.array.rows, config.mesh, config.accumulator_rows)
        super().__init__({
            "user": In(sum(FIELDS.values())), "last": In(1), "valid": In(1), "weight": In(signed(8)), "ready": Out(1),
            "answer_ready": In(1), "answer_valid": Out(1), "answer_last": Out(1),
            "advance": Out(1), "row_taken": Out(1), "bank": Out(1),
            "write": Out(config.array.rows), "write_bank": Out(1),
            "configure": Out(CONSTANT_BYTES), "configure_set": Out(1),
            "columns": Out(data.ArrayLayout(steps(config), config.mesh[1])),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Tags beside the mesh, what waits for what, and the steps of every tile column."""
        m = Module()
        beat = data.View(data.StructLayout(FIELDS), self.user)
        accept = Signal()
        tags = self._tags(m, beat, accept)
        m.d.comb += [
            self.advance.eq(~self.answer_valid | self.answer_ready),
            self.ready.eq(self.advance & ~self._waits(m, beat, tags)),
            accept.eq(self.valid & self.ready),
            self.row_taken.eq(accept & beat.compute), self.bank.eq(beat.bank),
            self.write_bank.eq(beat.write_bank), self.configure_set.eq(beat.write_bank),
        ]  # fmt: skip
        for address, flag in enumerate([*self.write, *self.configure]):
            m.d.comb += flag.eq(accept & beat.write & (beat.address == address))
        self._steps(m, tags, self._limits(m, beat, accept))
        return m

    def _tags(self, m: Module, beat: data.View, accept: Signal) -> Tags:
        """Registers of every field that travels with a row of activations, and what leaves at their end."""
        tile_rows, tile_columns = self.config.mesh
        stored = tile_rows + tile_columns  # stages until the sums of all columns are stored or multiplied
        row = beat.row[: row_bits(self.config.accumulator_rows)]
        travelling = {
            "compute": (accept & beat.compute, stored + 1), "first": (beat.first, tile_columns),
            "last": (beat.last, stored + 1), "raw": (beat.raw, stored + 1), "bank": (beat.bank, stored),
            "constants": (beat.constants, stored + 1), "row": (row, stored), "end": (self.last, stored + 1),
        }  # fmt: skip
        tags: Tags = {}
        for name, (value, stages) in travelling.items():
            tags[name] = []
            for stage in range(stages):
                register = Signal(len(value), name=f"{name}_{stage + 1}", reset_less=name != "compute")
                with m.If(self.advance):
                    m.d.sync += register.eq(value)
                tags[name].append(register)
                value = register
        with m.If(self.advance):
            m.d.sync += [
                self.answer_valid.eq(tags["compute"][-1] & tags["last"][-1]),
                self.answer_last.eq(tags["end"][-1]),
            ]
        unused = Signal()
        m.d.comb += unused.eq(Cat(beat.row, beat.address).all())
        return tags

    def _waits(self, m: Module, beat: data.View, tags: Tags) -> Signal:
        """Whether a row under way must come before the beat that is offered."""
        tile_rows, tile_columns = self.config.mesh
        reasons = []
        bits = len(tags["row"][0])
        for stage in range(tile_rows):  # its sum is not stored yet
            stores = tags["compute"][stage] & ~tags["last"][stage]
            reasons.append(beat.compute & ~beat.first & stores & (tags["row"][stage] == beat.row[:bits]))
        of_weights = Signal()
        m.d.comb += of_weights.eq(beat.address < self.config.array.rows)
        for stage in range(tile_rows + tile_columns):  # it still reads what the beat writes
            held = tags["bank"][stage] == beat.write_bank, tags["constants"][stage] == beat.write_bank
            reads = (of_weights & held[0]) | (~of_weights & held[1])
            reasons.append(beat.write & tags["compute"][stage] & reads)
        waits = Signal()
        m.d.comb += waits.eq(Cat(*reasons).any())
        return waits

    def _limits(self, m: Module, beat: data.View, accept: Signal) -> dict[str, list[Signal]]:
        """Both sets of ``zero``, ``low`` and ``high``, which come in lane 0 and count for all columns."""
        limits: dict[str, list[Signal]] = {}
        for place_of, name in enumerate(OF_LAYER):
            limits[name] = []
            for number in range(2):
                register = Signal(signed(8), name=f"{name}_{number}", reset_less=True)
                address = self.config.array.rows + CONSTANT_BYTES + place_of
                with m.If(accept & beat.write & (beat.address == address) & (beat.write_bank == number)):
                    m.d.sync += register.eq(self.weight)
                limits[name].append(register)
        return limits

    def _steps(self, m: Module, tags: Tags, limits: dict[str, list[Signal]]) -> None:
        tile_rows, tile_columns = self.config.mesh
        for j in range(tile_columns):
            store, finish = tile_rows + j, tile_rows + j + 1
            storing, finishing = tags["compute"][store] & self.advance, tags["compute"][finish] & self.advance
            fields = {
                "read_row": tags["row"][j], "read_set": tags["constants"][j], "first": tags["first"][j],
                "write_row": tags["row"][store], "write_set": tags["constants"][store],
                "store": storing & ~tags["last"][store], "multiply": storing & tags["last"][store],
                "raw": tags["raw"][store], "finish": finishing & tags["last"][finish],
                "finish_set": tags["constants"][finish], "finish_raw": tags["raw"][finish],
            }  # fmt: skip
            fields |= {name: Mux(tags["constants"][finish], sets[1], sets[0]) for name, sets in limits.items()}
            m.d.comb += [self.columns[j][name].eq(value) for name, value in fields.items()]


def steps(config: AcceleratorConfig) -> data.StructLayout:
    """What a column is told in every cycle: members of ``AccumulatorColumn``."""
    row = row_bits(config.accumulator_rows)
    flags = ("read_set", "first", "write_set", "store", "multiply", "raw", "finish", "finish_set", "finish_raw")
    return data.StructLayout({
        "read_row": row, "write_row": row, **dict.fromkeys(flags, 1), **dict.fromkeys(OF_LAYER, signed(8)),
    })  # fmt: skip
