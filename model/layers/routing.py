"""Whose calls are being watched: the state that routing of products and its exemptions share.

A module whose products are routed to cells sees every call of torch below it. Calls that its
children make are not its own: converted layers and modules kept in float hide theirs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module


class _State(threading.local):
    frame: object | None = None  # who owns the calls that are made now
    known_float = 0  # depth of calls that are left in float on purpose


_STATE = _State()


@contextmanager
def owned_by(frame: object | None) -> Iterator[None]:
    """Calls made inside belong to ``frame``; None hides them."""
    before, _STATE.frame = _STATE.frame, frame
    try:
        yield
    finally:
        _STATE.frame = before


def owner() -> object | None:
    """The frame that owns the calls made now."""
    return _STATE.frame


@contextmanager
def known_float() -> Iterator[None]:
    """Products made inside are in float on purpose, and reported already."""
    _STATE.known_float += 1
    try:
        yield
    finally:
        _STATE.known_float -= 1


def is_known_float() -> bool:
    """Whether products made now are in float on purpose."""
    return _STATE.known_float > 0


def is_hooked(module: nn.Module) -> bool:
    """Whether something happens at the calls of a module, so that no shortcut may go past them."""
    watched = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    every = (torch_module._global_forward_pre_hooks, torch_module._global_forward_hooks)
    return any(watched) or any(every) or "forward" in vars(module) or "parametrizations" in module._modules


class Hidden(nn.Module):
    """A module whose own calls are nobody else's; ``torch.compile`` leaves it as it is."""

    @torch.compiler.disable
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module with its calls hidden from the modules above."""
        with owned_by(None):
            return super().__call__(*args, **kwargs)


class KeptFloat(Hidden):
    """A module whose products stay in float because the user asked for it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module, its products counted as left in float on purpose."""
        with known_float():
            return super().__call__(*args, **kwargs)
