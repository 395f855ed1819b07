"""The state of a model that is not its function: flags that a pass changes, and all that a failure must not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_PARTS = frozenset(name for name, value in vars(nn.Module()).items() if isinstance(value, dict))  # and hooks


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation while the context lasts; every module gets the flag back that it had.

    Modules that join in the meantime stay in evaluation.
    """
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def all_or_nothing(model: nn.Module, parameters: bool = False) -> Iterator[None]:
    """Whatever fails inside, be it the user's own code or an interrupt, leaves the model as it was, bit for bit.

    Classes, submodules, hooks, flags and attributes of every module are put back, and the values of buffers;
    those of parameters too with ``parameters``, which keeps a copy of them.
    """
    modules = list(model.modules())
    before = [(module, type(module), _entries(module)) for module in modules]
    own = [*model.buffers(), *(model.parameters() if parameters else ())]
    with torch.inference_mode(False), torch.no_grad():
        values = [(tensor, tensor.detach().clone()) for tensor in own]
    needs = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    try:
        yield
    except BaseException:
        for module, kind, entries in before:
            module.__class__ = kind
            _restore(module, entries)
        for parameter, needed, gradient in needs:
            if parameter.requires_grad != needed:
                parameter.requires_grad_(needed)
            parameter.grad = gradient
        with torch.no_grad():
            for tensor, value in values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
        raise


def _entries(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module, with copies of the dicts that hold its parts and hooks."""
    return {name: dict(value) if name in _PARTS else value for name, value in vars(module).items()}


def _restore(module: nn.Module, entries: dict[str, Any]) -> None:
    attributes = vars(module)
    for name in attributes.keys() - entries.keys():
        del attributes[name]
    for name, value in entries.items():
        if name in _PARTS:  # the same dict: handles of hooks hold on to it
            attributes[name].clear()
            attributes[name].update(value)
        else:
            attributes[name] = value
