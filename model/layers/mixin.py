"""Another class for one module, in place: all that a user put into the module stays in it."""

from typing import Any, TypeVar

from torch import nn

_CLASSES: dict[tuple[type[nn.Module], type[nn.Module]], type[nn.Module]] = {}  # equal modules share a class
M = TypeVar("M", bound=nn.Module)


def change_class_(module: nn.Module, mixin: type[M]) -> M:
    """Put ``mixin`` before the class of one module, as torch's parametrisations do, and return the module.

    Parameters, buffers, hooks, flags and attributes stay, so ``mixin`` must not need its ``__init__``.
    """
    module.__class__ = mixed(mixin, type(module))
    assert isinstance(module, mixin)
    return module


def mixed(mixin: type[nn.Module], own: type[nn.Module]) -> type[nn.Module]:
    """The class of a module of class ``own`` that ``mixin`` was put before."""
    if (mixin, own) not in _CLASSES:
        members = {"__module__": own.__module__, "__reduce_ex__": _reduce, "mixed_from": (mixin, own)}
        _CLASSES[mixin, own] = type(f"{mixin.__name__}{own.__name__}", (mixin, own), members)
    return _CLASSES[mixin, own]


def _reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
    """Copies and processes need the two classes, since this one has no name to import."""
    return _new, type(self).mixed_from, self.__getstate__()


def _new(mixin: type[nn.Module], own: type[nn.Module]) -> nn.Module:
    made = mixed(mixin, own)
    return made.__new__(made)
