"""What decides how encoders reuse attention."""

from dataclasses import dataclass
from typing import Literal, get_args

from slipstick.errors import UserError

Transform = Literal["full", "linear", "identity"]
Run = Literal["last", "chain"]


@dataclass(frozen=True)
class ReuseConfig:
    """How the encoders of a pattern make their attention from the one before.

    ``transform``: ``full`` is the paper's GELU(Linear(LayerNorm(A))); ``linear`` leaves GELU out, ``identity``
    leaves everything out. ``run`` tells what A is in a run of reuse encoders, which the paper leaves open:
    ``last``, the last attention that was computed, or ``chain``, what the encoder before made of it.
    Raises UserError for other words.
    """

    transform: Transform = "full"
    run: Run = "last"

    def __post_init__(self) -> None:
        for name, known in (("transform", get_args(Transform)), ("run", get_args(Run))):
            if getattr(self, name) not in known:
                raise UserError(f"reuse {name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
