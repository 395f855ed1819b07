"""Values made from tensors, kept as long as these hold the same numbers."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..kernels.fingerprint import Fingerprint, fingerprint

T = TypeVar("T")


class Derived(Generic[T]):
    """A value and what the tensors that it was made from held then.

    Their numbers decide, not which tensors they are: parameters may be replaced, swapped for one call, written
    to in place, through ``.data`` or by fused kernels and other processes that tell nobody. Copies and pickles
    begin without a value. Threads that share one see whole values only.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[Fingerprint, ...], T] | None = None

    @torch.compiler.disable  # what a compiled graph held on to would never be looked at again
    def __call__(self, make: Callable[[], T], *sources: Tensor | None) -> T:
        """The value of ``make()`` for these sources."""
        now, kept = tuple(map(fingerprint, sources)), self._kept
        if kept is None or kept[0] != now:
            with torch.inference_mode(False), torch.no_grad():  # what an evaluation keeps must serve training too
                kept = self._kept = now, make()
        return kept[1]

    def forget(self) -> None:
        """Make the value anew at the next call: something else than the sources has changed."""
        self._kept = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Derived[T]":
        return Derived()

    def __reduce__(self) -> tuple[Any, ...]:
        return Derived, ()
