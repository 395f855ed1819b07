"""Run a model again from where one of its layers starts, with everything before it taken from a recording.

A recording keeps what every module call returned, in order of time, and when each converted layer first
summed products. Whatever ended before that moment cannot depend on the layer's cells, so a replay hands
out the recorded outputs of those calls, the outermost ones first, and really runs the rest: the
model's own ``forward`` stays in charge, whatever its structure (skip connections, shared modules, several
branches). Only a module that passes values around its outputs could break this: a restart is
therefore checked (``faithful``) before it is trusted.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from .convert import table_layers
from .layers.table_layer import TableLayer


@dataclass
class Call:
    """One call of a module: ``started`` and ``ended`` count events of the recorded run."""

    module: nn.Module
    parent: "Call | None"
    started: int
    ended: int = -1
    output: Any = None

    def before(self, moment: int) -> bool:
        """Whether the call had returned by then."""
        return 0 <= self.ended < moment


def _copy(value: Any) -> Any:
    """The same nested value with tensors of its own, safe from operations in place."""
    return _pytree.tree_map_only(Tensor, torch.clone, value)


class RecordedRun:
    """What one run of a model on one batch returned, call by call; ``output`` is that of the model."""

    def __init__(self, model: nn.Module, batch: Tensor) -> None:
        self.model, self.batch = model, batch
        self.calls: list[Call] = []
        self.first_use: dict[str, int] = {}  # layer -> event at which it first summed products
        self._events = 0
        self._open: list[Call] = []
        with torch.no_grad(), self._recording():
            self.output: Tensor = model(batch)
        wanted = {id(call) for moment in self.first_use.values() for call in self._outermost(moment)}
        for call in self.calls:
            if id(call) not in wanted:
                call.output = None

    @property
    def bytes(self) -> int:
        """Memory of the outputs that some restart needs."""
        leaves = (leaf for call in self.calls for leaf in _pytree.tree_leaves(call.output))
        return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))

    def restart(self, layer: str) -> Tensor:
        """The model's output with the cells that ``layer`` has now, all others being as they were recorded."""
        with torch.no_grad(), self._replaying(self.first_use[layer]):
            return self.model(self.batch)

    def faithful(self, layer: str) -> bool:
        """Whether a restart from ``layer``, its cells being those of the recording, gives the recorded output."""
        return torch.equal(self.restart(layer), self.output)

    def _outermost(self, moment: int) -> list[Call]:
        return [x for x in self.calls if x.before(moment) and not (x.parent and x.parent.before(moment))]

    def _tick(self) -> int:
        self._events += 1
        return self._events

    @contextmanager
    def _recording(self) -> Iterator[None]:
        def start(module: nn.Module, _: Any) -> None:
            self._open.append(Call(module, self._open[-1] if self._open else None, self._tick()))
            self.calls.append(self._open[-1])

        def end(module: nn.Module, _: Any, output: Any) -> None:
            call = self._open.pop()
            call.ended, call.output = self._tick(), _copy(output)

        def use(name: str, layer: TableLayer, codes: Tensor, stationary: Tensor, total: Tensor) -> None:
            self.first_use.setdefault(name, self._tick())

        layers = table_layers(self.model).values()
        with ExitStack() as stack:
            for module in self.model.modules():
                stack.callback(module.register_forward_pre_hook(start, prepend=True).remove)
                stack.callback(module.register_forward_hook(end).remove)
            for layer in layers:
                stack.callback(setattr, layer, "recorder", layer.recorder)
                layer.recorder = use
            yield

    @contextmanager
    def _replaying(self, moment: int) -> Iterator[None]:
        """Let calls that ended before ``moment`` return what was recorded."""
        known = {id(call) for call in self._outermost(moment)}
        queues: dict[nn.Module, list[Call]] = {}
        for call in self.calls:  # those that will happen: inside a replayed call nothing is called
            if call.started < moment and not (call.parent and call.parent.before(moment)):
                queues.setdefault(call.module, []).append(call)
        with ExitStack() as stack:
            for module, queue in queues.items():
                if any(id(call) in known for call in queue):
                    stack.callback(_restore, module, module.__dict__.get("forward"))
                    module.forward = _player(module.forward, iter(queue), known)
            yield


def _player(forward: Callable[..., Any], queue: Iterator[Call], known: set[int]) -> Callable[..., Any]:
    def play(*arguments: Any, **options: Any) -> Any:
        call = next(queue, None)
        if call is None or id(call) not in known:
            return forward(*arguments, **options)
        return _copy(call.output)

    return play


def _restore(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    if forward is None:
        del module.forward
    else:
        module.forward = forward
