"""How much the loss and top-1 change when one layer alone runs on one cell, for every layer and cell.

Two things make the sweep cheap. A trial restarts where its layer starts (``replay``); and it ends once
enough images have settled it: changes are paired, image by image, so mild cells settle at once near
zero and harsh ones at once far from it. Every batch of every trial is kept under a hash of what decides
it, so a stopped sweep goes on where it was, and one more cell costs only its own trials.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.rtl.cells.cell import Cell
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .convert import assign_, table_layers
from .data import Images
from .divergence import kl_divergence
from .gemm import is_exact
from .predict import predicted_damage
from .replay import RecordedRun
from .zoo import LoadedModel

MEMORY = 1 << 30  # bytes of recorded outputs at a time
BATCH = 64  # images at a time, at most
FEWEST = 64  # images before a trial may end
RELATIVE = 0.1  # standard error that settles a large change, as a share of it
TOLERANCE = 0.01  # standard error that settles any change, in nats
TIME_EVERY = 8  # layers: what an evaluation takes is measured throughout, as other jobs come and go
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """One layer on one cell against all layers exact: mean changes over ``images``, with standard errors.

    Loss in nats (cross-entropy), accuracy as a fraction of 1. ``divergence`` is that of the outputs from the
    exact ones (Kullback-Leibler, nats): never negative and free of the labels' noise, and what
    ``predicted`` estimates in one pass over calibration images (``predict``).
    """

    layer: str
    cell: str
    loss: float
    loss_error: float
    accuracy: float
    accuracy_error: float
    divergence: float
    divergence_error: float
    images: int
    predicted: float


@dataclass
class Cost:
    """What a sweep cost. An evaluation is one exact run over all its images, timed throughout the sweep.

    ``image_passes`` counts (trial, image) pairs; seconds are CPU seconds of the process. ``seconds``
    includes recordings and checks, and what trials found in the store took when they ran.
    """

    trials: int = 0
    image_passes: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    prediction_seconds: float = 0.0

    @property
    def evaluations(self) -> float:
        """How many whole evaluations would have taken as long."""
        return self.seconds / self.evaluation_seconds


@dataclass
class Sensitivity:
    """All trials, layers in order of execution; ``whole`` names layers whose trials had to be whole runs."""

    layers: list[str]
    cells: list[str]
    images: int
    exact_loss: float
    exact_accuracy: float
    trials: dict[tuple[str, str], Trial]
    whole: list[str]
    cost: Cost

    def rank_correlation(self, figure: str) -> float | None:
        """Spearman's correlation of the prediction and a measured figure of Trial; None when one never varies."""
        predicted, measured = (
            _ranks(np.array([getattr(trial, name) for trial in self.trials.values()])) for name in ("predicted", figure)
        )
        if min(np.ptp(predicted), np.ptp(measured)) == 0:
            return None
        return float(np.corrcoef(predicted, measured)[0, 1])


@dataclass
class _Batch:
    """One batch of images and its exact run; ``identity`` is the hash of all that decides its trials."""

    inputs: Tensor
    labels: Tensor
    output: Tensor
    loss: np.ndarray
    correct: np.ndarray
    identity: str
    recorded: RecordedRun | None = None


@dataclass
class _Tally:
    """Changes of one trial, image by image."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    divergence: list[float] = field(default_factory=list)

    def add(self, batch: _Batch, measured: dict[str, list[float]]) -> None:
        """Add the images of one batch."""
        self.loss += (np.array(measured["loss"]) - batch.loss).tolist()
        self.accuracy += (np.array(measured["correct"]) - batch.correct).tolist()
        self.divergence += measured["divergence"]

    def settled(self, tolerance: float) -> bool:
        """Whether more images would tell nothing that matters."""
        if len(self.loss) < FEWEST:
            return False
        mean, error = _mean(self.loss)
        return error <= max(tolerance, RELATIVE * abs(mean) if tolerance else 0)


class Sweep:
    """Measures trials on a converted, calibrated model; all layers are exact between calls."""

    def __init__(self, loaded: LoadedModel, images: Images, store: Store | None = None) -> None:
        self.loaded, self.images, self.store = loaded, images, store or Store("sensitivity")
        self.module = loaded.module.eval()
        assign_(self.module, {})
        self.layers = table_layers(self.module)
        self.cost = Cost()
        self.checked: dict[str, bool] = {}  # layer -> whether restarts at it may be trusted
        self._timed: list[float] = []  # CPU seconds an image of exact runs, spread over the sweep
        self._state = _state_digest(self.module)
        trial_run = RecordedRun(self.module, self._inputs(0, 1))
        self.batch = max(1, min(BATCH, MEMORY // max(1, trial_run.bytes)))
        self.order = sorted(self.layers, key=lambda name: trial_run.first_use[name])

    def run(self, cells: Sequence[Cell], tolerance: float = TOLERANCE, progress: Progress | None = None) -> Sensitivity:
        """Measure every layer on every cell; ``progress(done, total)`` counts trials and images.

        ``tolerance`` (nats) is the standard error at which a trial may end before the last image; 0 measures all.
        """
        cells = [cell for cell in cells if not is_exact(cell)]
        if not cells:
            raise UserError("every cell given is exact, and exact cells change nothing; name an approximate one")
        tallies = {(layer, cell): _Tally() for layer in self.order for cell in cells}
        total, done = len(tallies) * len(self.images), 0
        exact: list[_Batch] = []
        for start in range(0, len(self.images), self.batch):
            open_trials = {key: tally for key, tally in tallies.items() if not tally.settled(tolerance)}
            if not open_trials:
                break
            batch = self._open(start)
            exact.append(batch)
            for (layer, cell), tally in open_trials.items():
                tally.add(batch, self._trial(batch, layer, cell))
                done += len(self.images) - start if tally.settled(tolerance) else len(batch.labels)
                if progress is not None:
                    progress(done, total)
            batch.recorded = None
        return self._result(cells, tallies, exact)

    def _inputs(self, start: int, stop: int) -> Tensor:
        return self.loaded.prepare(self.images.pixels[start:stop])

    def _whole(self, inputs: Tensor) -> Tensor:
        """The output of an exact run, timed."""
        began = time.process_time()
        with torch.no_grad():
            output = self.module(inputs)
        self._timed.append((time.process_time() - began) / len(inputs))
        return output

    def _open(self, start: int) -> _Batch:
        stop = min(start + self.batch, len(self.images))
        inputs, labels = self._inputs(start, stop), torch.from_numpy(self.images.labels[start:stop])
        output = self._whole(inputs)
        loss, correct = _score(output, labels)
        identity = digest(
            code_digest(__name__), self._state, inputs.cpu().numpy(), labels.numpy(), output.cpu().numpy()
        )
        return _Batch(inputs, labels, output, loss, correct, identity)

    def _trial(self, batch: _Batch, layer: str, cell: Cell) -> dict[str, list[float]]:
        kept = self.store.json(digest(batch.identity, layer, cell.digest), lambda: self._measure(batch, layer, cell))
        self.cost.seconds += kept.pop("seconds")
        self.cost.image_passes += len(batch.labels)
        return kept

    def _measure(self, batch: _Batch, layer: str, cell: Cell) -> dict[str, Any]:
        began = time.process_time()
        if batch.recorded is None:
            batch.recorded = RecordedRun(self.module, batch.inputs)
        if layer not in self.checked:  # after the trials of earlier layers: what they may have left behind would show
            self.checked[layer] = batch.recorded.faithful(layer)
            if len(self.checked) % TIME_EVERY == 0:
                self._whole(batch.inputs)
        self.cost.seconds += time.process_time() - began
        began = time.process_time()
        exact = self.layers[layer].grid
        self.layers[layer].set_cells(((cell,),))
        try:
            with torch.no_grad():
                output = batch.recorded.restart(layer) if self.checked[layer] else self.module(batch.inputs)
        finally:
            self.layers[layer].forget_products()
            self.layers[layer].set_cells(exact)
        loss, correct = _score(output, batch.labels)
        divergence = kl_divergence(batch.output, output).cpu().numpy()
        measured = {"loss": loss.tolist(), "correct": correct.tolist(), "divergence": divergence.tolist()}
        return measured | {"seconds": time.process_time() - began}

    def _result(
        self, cells: Sequence[Cell], tallies: dict[tuple[str, Cell], _Tally], exact: list[_Batch]
    ) -> Sensitivity:
        self.cost.trials = len(tallies)
        self.cost.evaluation_seconds = float(np.mean(self._timed)) * len(self.images)
        began = time.process_time()
        trials = {}
        for (layer, cell), tally in tallies.items():
            predicted = predicted_damage(self.layers[layer], ((cell,),))
            means = (*_mean(tally.loss), *_mean(tally.accuracy), *_mean(tally.divergence))
            trials[layer, cell.name] = Trial(layer, cell.name, *means, len(tally.loss), predicted)
        self.cost.prediction_seconds = time.process_time() - began
        loss, correct = (np.concatenate([getattr(batch, part) for batch in exact]) for part in ("loss", "correct"))
        return Sensitivity(
            self.order, [cell.name for cell in cells], len(self.images), float(loss.mean()), float(correct.mean()),
            trials, [layer for layer, good in self.checked.items() if not good], self.cost,
        )  # fmt: skip


def _score(output: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy in nats and whether the highest logit is the label, by image: float64 [B] and [B]."""
    logits, labels = output.double(), labels.to(output.device)
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    return loss.cpu().numpy(), (logits.argmax(1) == labels).double().cpu().numpy()


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    array = np.asarray(values)
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else float("inf")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def _state_digest(module: nn.Module) -> str:
    """Hash of weights, scales and the statistics that bias correction uses."""
    parts: list[Any] = []
    for name, value in module.state_dict().items():
        parts += [name, value.cpu().numpy()]
    for name, layer in table_layers(module).items():
        if layer.code_counts is not None:
            parts += [name, layer.code_counts.cpu().numpy()]
    return digest(*parts)
