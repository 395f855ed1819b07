"""What travels through the mesh beside the activations: whether a row is there, and the bank that multiplies it."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, In, Out

from ..parts.place import Library


class MeshTags(Component):
    """Bit s of each output belongs to the tiles (i, j) with i + j = s.

    Members: ``valid`` In and ``bank`` In belong to the activations that ``advance`` In takes; ``standing`` Out says
    that a row stands before the tiles, ``banks`` Out which bank multiplies it, ``compute`` Out that it moves on.
    """

    clocked = resettable = True

    def __init__(self, stages: int, library: Library | None = None) -> None:
        self.stages = stages
        self.module_name = f"mesh_tags_{stages}"
        super().__init__({
            "advance": In(1), "valid": In(1), "bank": In(1),
            "standing": Out(stages), "banks": Out(stages), "compute": Out(stages),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Two shift registers."""
        m = Module()
        banks = Signal(self.stages, name="bank", reset_less=True)
        with m.If(self.advance):
            m.d.sync += [self.standing.eq(Cat(self.valid, self.standing)), banks.eq(Cat(self.bank, banks))]
        m.d.comb += [self.banks.eq(banks), self.compute.eq(self.standing & self.advance.replicate(self.stages))]
        return m
