"""One forward pass in float that finds every product a model makes, and which module makes it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from slipstick.errors import UserError

from ..layers.routing import Hidden
from .batch import Batch, forward, tensors
from .products import Attention, Call, Convolution, Product, is_softmax, recognise
from .state import evaluating


def is_hidden(module: nn.Module) -> bool:
    """Whether the calls of a module, those of its hooks too, are nobody else's."""
    return isinstance(module, Hidden)


@contextmanager
def module_stack(model: nn.Module, opaque: Callable[[nn.Module], bool] = is_hidden) -> Iterator[list[nn.Module]]:
    """The modules that are being run, outermost first, while the context lasts.

    Hooks of an ``opaque`` module run inside it, all others in the module around it: as ``routing`` has it.
    """
    stack: list[nn.Module] = []

    def enter(module: nn.Module, _: object) -> None:
        stack.append(module)

    def leave(module: nn.Module, _: object, __: object) -> None:
        stack.pop()

    hooks = []
    for module in model.modules():
        hooks.append(module.register_forward_pre_hook(enter, prepend=opaque(module)))
        hooks.append(module.register_forward_hook(leave, prepend=not opaque(module), always_call=True))
    try:
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Constant:
    """A parameter that takes part in a product: which one, on which side, and whether the call transposed it."""

    tensor: Tensor
    side: str
    transposed: bool


@dataclass(eq=False)
class Traced:
    """One product of a module: its call (operands dropped), its constant operand, and the softmaxes around it."""

    kind: str
    form: type[Call]
    constant: Constant | None
    bias: Tensor | None = None
    geometry: tuple[Any, Any, Any, int] | None = None
    outer: bool = False
    after_softmax: bool = False
    before_softmax: bool = False


@dataclass
class Trace:
    """Products of every module that makes some, in order, and all modules that ran."""

    products: dict[nn.Module, list[Traced]] = field(default_factory=dict)
    ran: set[nn.Module] = field(default_factory=set)


def trace(model: nn.Module, batch: Batch, opaque: Callable[[nn.Module], bool]) -> Trace:
    """Run a float model on a batch and list its products by the innermost module that makes them.

    Products inside ``opaque`` modules, which are converted as a whole, are not listed. Raises UserError
    for a module whose products differ from call to call, since cells could not be told apart.
    """
    found = Trace()
    names = {module: name for name, module in model.named_modules()}
    constants = [*model.parameters(), *model.buffers()]
    with evaluating(model), module_stack(model, opaque) as stack, ExitStack() as hooks, torch.no_grad():
        tracer = _Tracer(stack, opaque, found, constants)
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(tracer.enter, prepend=opaque(module)).remove)
            hooks.callback(module.register_forward_hook(tracer.leave, prepend=not opaque(module)).remove)
        with tracer:
            try:
                forward(model, batch)
            except Exception as error:  # of any kind, told where and raised again
                sizes = ", ".join(str(list(part.shape)) for part in tensors(batch).values())
                error.add_note(
                    f"slipstick: the model raised this itself, on calibration inputs {sizes}; it is unchanged"
                )
                raise
    if tracer.changing is not None:
        raise UserError(
            f"module {names[tracer.changing]!r} makes other products on its second call than on its first; "
            "cells cannot be assigned to them"
        )
    return found


class _Tracer(TorchFunctionMode):
    def __init__(
        self, stack: list[nn.Module], opaque: Callable[[nn.Module], bool], found: Trace, constants: Sequence[Tensor]
    ) -> None:
        super().__init__()
        self.stack, self.opaque, self.found = stack, opaque, found
        self.constants = {id(tensor): tensor for tensor in constants}
        self.calls: list[list[Traced]] = []  # of every module on the stack, this time
        self.softmax: list[bool] = []
        self.changing: nn.Module | None = None

    def enter(self, module: nn.Module, _: object) -> None:
        self.found.ran.add(module)
        self.calls.append([])
        self.softmax.append(False)

    def leave(self, module: nn.Module, _: object, __: object) -> None:
        calls = self.calls.pop()
        self.softmax.pop()
        if not any(self.opaque(outer) for outer in [*self.stack, module]):
            known = self.found.products.setdefault(module, calls)
            if [call.kind for call in known] != [call.kind for call in calls]:
                self.changing = module
            if not known:
                del self.found.products[module]

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.calls:
            if is_softmax(func):  # may be a module of its own, so it counts for all around it
                for calls in self.calls:
                    if calls:
                        calls[-1].before_softmax = True
                self.softmax = [True] * len(self.softmax)
            elif (call := recognise(func, args, kwargs)) is not None:
                traced = self.describe(call)
                if func is torch.nn.functional.linear:
                    traced.bias = kwargs.get("bias", args[2] if len(args) > 2 else None)
                self.calls[-1].append(traced)
                self.softmax[-1] = False
        return func(*args, **kwargs)

    def describe(self, call: Call) -> Traced:
        if isinstance(call, Attention):
            return Traced(call.kind, Attention, None)
        if isinstance(call, Convolution):
            own = self.constants.get(id(call.weight))
            constant = None if own is None else Constant(own, "right", False)
            return Traced(call.kind, Convolution, constant, geometry=call.geometry)
        outer = call.left.shape[-1] == 1 and any(
            id(x) in self.constants or id(x._base) in self.constants for x in call.operands
        )
        return Traced(
            call.kind, Product, None if call.kind.startswith("einsum") else self.constant(call), outer=outer,
            after_softmax=self.softmax[-1],
        )  # fmt: skip

    def constant(self, call: Product) -> Constant | None:
        for side, operand in (("right", call.right), ("left", call.left)):
            for tensor in (operand, operand._base):
                own = self.constants.get(id(tensor))
                if own is None or own.ndim != 2:
                    continue
                if operand.shape == own.shape and operand.stride() == own.stride():
                    return Constant(own, side, False)
                if operand.shape == own.mT.shape and operand.stride() == own.mT.stride():
                    return Constant(own, side, True)
        return None
