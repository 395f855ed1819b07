"""The numbers of a Vision Transformer that decide what its encoders cost."""

from dataclasses import dataclass

from slipstick.errors import UserError


@dataclass(frozen=True)
class Geometry:
    """``tokens`` of width ``dim`` through ``encoders`` with ``heads`` and an MLP ``mlp_ratio`` times as wide.

    Raises UserError for sizes below one and a width that the heads do not divide.
    """

    name: str
    tokens: int
    dim: int
    encoders: int
    heads: int
    mlp_ratio: float

    def __post_init__(self) -> None:
        if min(self.tokens, self.dim, self.encoders, self.heads) < 1 or self.mlp_ratio <= 0:
            raise UserError(f"geometry {self.name!r}: every size must be at least 1")
        if self.dim % self.heads:
            raise UserError(f"geometry {self.name!r}: {self.heads} heads do not divide a width of {self.dim}")

    @property
    def hidden(self) -> int:
        """Width of the MLP's hidden layer."""
        return round(self.dim * self.mlp_ratio)

    def check_reuse(self, reuse: int) -> None:
        """UserError unless ``reuse`` encoders can reuse attention; encoder 0 never does."""
        if not 0 <= reuse < self.encoders:
            raise UserError(
                f"{reuse} of {self.encoders} encoders cannot reuse attention; 0 to {self.encoders - 1} can, "
                "encoder 0 keeps its own"
            )


DEIT_S = Geometry("DeiT-S", 197, 384, 12, 6, 4)
LV_VIT_S = Geometry("LV-ViT-S", 197, 384, 16, 6, 3)
SHIPPED_VIT = Geometry("vit-cifar10", 64, 128, 6, 4, 2)
GEOMETRIES = {one.name.lower(): one for one in (DEIT_S, LV_VIT_S, SHIPPED_VIT)}
