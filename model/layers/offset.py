"""The offset that takes the cells' mean error out of every output channel: followed, held while training, saved."""

import weakref
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from ..kernels.fingerprint import Fingerprint
from .table_layer import Cells, TableLayer

_LOADED: Fingerprint = ("as loaded",)


class OffsetLayer(TableLayer):
    """A layer with constant weights, whose ``mean_error`` float64 [N], in accumulator units, is part of its state.

    It follows the weights, the cells and the operand statistics. Training holds it from the first gradient on:
    codes then keep their distribution when the weights' scale follows their maximum, until other cells are
    chosen, another parameter takes the weight's place, or weights are loaded without their offset. One that is
    loaded belongs to the weights that came with it. Always in the state dict, up to date when that is made.
    """

    mean_error: Tensor

    def begin(self, device: torch.device | None = None) -> None:
        """Give a module of this class what it needs beside its parameters."""
        super().begin(device)
        self.compensate = True
        self._made_for: Fingerprint | None = None  # the numbers that ``mean_error`` belongs to
        self._held: weakref.ref[Tensor] | bool = False  # by the parameter that is being trained; True binds at next use
        self._last: Fingerprint | None = None  # what was multiplied last
        self._in_doubt = False  # something was loaded, but no offset
        self.register_buffer("mean_error", torch.zeros(0, dtype=torch.float64))

    @abstractmethod
    def sources(self) -> tuple[Tensor | None, ...]:
        """The parameters that weight and bias come from."""

    @abstractmethod
    def numbers(self) -> Fingerprint:
        """What the weights hold now."""

    @abstractmethod
    def _error_of_now(self) -> Tensor:
        """Mean error of the cells with the weights as they are: float64 [N]."""

    def offset(self, now: Fingerprint) -> Tensor:
        """``mean_error`` for weights that hold ``now``, made anew if it belongs to others and is not held."""
        if not self._is_held(now) and self._made_for != now:
            if self._made_for != _LOADED:
                with torch.inference_mode(False), torch.no_grad():
                    self.mean_error = self._error_of_now()
            self._made_for = now
        self._last = now
        return self.mean_error

    def _is_held(self, now: Fingerprint) -> bool:
        source = self.sources()[0]
        if self._in_doubt and now != self._last:
            self._drop()
        self._in_doubt = False
        if self._held is True and source is not None:
            self._held = weakref.ref(source)
        return isinstance(self._held, weakref.ref) and self._held() is source

    def _drop(self) -> None:
        self._held, self._made_for = False, None

    def trained(self) -> Tensor | None:
        """The parameter that the weight comes from."""
        return self.sources()[0]

    def hold(self, trained: Tensor) -> None:
        """Keep the offset as it is, whatever training does to ``trained``."""
        self._held = weakref.ref(trained)

    def is_held(self) -> bool:
        """Whether the offset stays as it is whatever the weights become."""
        return self._is_held(self.numbers())

    def hold_next(self) -> None:
        """Hold the offset for the parameter that is multiplied next."""
        self._held = True

    def freeze_compensation(self) -> None:
        """Bring the offset up to date and hold it."""
        self.offset(self.numbers())
        self.hold_next()

    def set_cells(self, grid: Cells) -> None:
        """Choose the cells; the offset follows them."""
        self._drop()
        super().set_cells(grid)

    def forget_prepared(self) -> None:
        """Drop what was derived from weights, scales and statistics."""
        self._made_for = None

    def _save_to_state_dict(self, *arguments: Any, **options: Any) -> None:
        if self.ready:
            self.offset(self.numbers())
        super()._save_to_state_dict(*arguments, **options)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        if f"{prefix}mean_error" in state_dict:
            self._made_for, self._in_doubt = _LOADED, False
        else:
            self._in_doubt = True

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": bool(self._held)}
