"""Values that follow parameters: made once, and again when a parameter changes."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

T = TypeVar("T")
_STEPS = [0]  # of all optimisers of the process: fused ones change weights without telling autograd's versions


def _count_step(*_: Any) -> None:
    _STEPS[0] += 1


register_optimizer_step_post_hook(_count_step)


def steps_taken() -> int:
    """Steps of all optimisers of the process."""
    return _STEPS[0]


class Derived(Generic[T]):
    """A value and the tensors it came from; an optimiser's step or a change that autograd sees makes it anew."""

    def __init__(self) -> None:
        self._sources: tuple[Tensor | None, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._value: T | None = None

    def __call__(self, make: Callable[[], T], *sources: Tensor | None) -> T:
        """The value of ``make()`` for these sources."""
        versions = (steps_taken(), *(_version(one) for one in sources))
        same = len(sources) == len(self._sources) and all(a is b for a, b in zip(sources, self._sources, strict=True))
        if self._value is None or not same or versions != self._versions:
            with torch.inference_mode(False), torch.no_grad():  # what an evaluation keeps must serve training too
                self._value = make()
            self._sources, self._versions = sources, versions
        return self._value


def _version(tensor: Tensor | None) -> int:
    return 0 if tensor is None or tensor.is_inference() else tensor._version
