"""Approximate-aware finetuning: train a converted model through the products of its own cells.

AdamW with one cosine and linear warm-up; label smoothing; knowledge distillation from the float model
(Hinton et al., arXiv 1503.02531); an exponential moving average of the weights, which is the result.
Whatever is random is drawn from (seed, epoch) or (seed, step), so a resumed run equals an unbroken one.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from slipstick.errors import UserError
from slipstick.files import write_text

from ..convert import Rules, approximate_, describe, table_layers
from ..data import Images
from ..evaluate import input_batches, top1
from ..integer.config import IntegerConfig
from ..integer.fold import unfold
from ..integer.vit import IntegerVit
from ..layers.config import QuantConfig
from ..layers.gradients import set_gradient_
from ..structure import structure_facts
from ..zoo import LoadedModel
from .config import FinetuneConfig
from .features import encoder_outputs, feature_loss
from .images import TrainingImages, fingerprints
from .state import load_state, restore_training, save_tensors, training_tensors
from .train import augment, batches


@dataclass(frozen=True)
class Finetuned:
    """Where the weights are, and the manifest beside them (OUT.json)."""

    weights: Path
    manifest: dict[str, Any]


def cosine(fraction: float, warmup: float) -> float:
    """Learning-rate factor at ``fraction`` of the run: linear up, then half a cosine down to zero."""
    if fraction < warmup:
        return fraction / warmup
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))


def distilled_loss(logits: Tensor, labels: Tensor, teacher: Tensor, config: FinetuneConfig) -> Tensor:
    """Smoothed cross-entropy with ``labels`` and divergence from the ``teacher``'s softened logits, weighted."""
    hard = F.cross_entropy(logits, labels, label_smoothing=config.smoothing)
    student, wanted = ((part / config.temperature).log_softmax(-1) for part in (logits, teacher))
    soft = F.kl_div(student, wanted, reduction="batchmean", log_target=True) * config.temperature**2
    return (1 - config.distillation) * hard + config.distillation * soft


def finetune(
    loaded: LoadedModel,
    rules: Rules,
    images: TrainingImages,
    out: Path,
    config: FinetuneConfig,
    report: Callable[[dict[str, float]], None] = lambda record: None,
    provenance: Mapping[str, Any] | None = None,
    integer: IntegerConfig | None = None,
    quantisation: QuantConfig | None = None,
) -> Finetuned:
    """Convert a float model in place by ``rules``, train it, and leave it converted with the averaged weights.

    With ``integer`` it trains, and stays, an ``IntegerVit``. ``quantisation`` calibrates it.

    Writes ``out``.safetensors, float weights under their own names, and ``out``.json, what made them.
    Every ``config.every`` steps the whole state goes to ``out``.resume.safetensors; the same call goes
    on from it. ``report`` gets every record of the curve. Raises UserError for images that do not fit
    and for a state of other settings, weights or images.
    """
    if config.batch > len(images.train):
        raise UserError(f"a batch of {config.batch} exceeds the {len(images.train)} training images")
    teacher = replace(loaded, module=copy.deepcopy(loaded.module).requires_grad_(False))
    calibrating = input_batches(loaded, images.calibration)
    outputs = teacher.module(calibrating[0][:1]).shape[-1]
    if max(images.train.labels.max(), images.validation.labels.max()) >= outputs:
        raise UserError(f"the images have {len(images.train.classes)} classes, {loaded.name} has {outputs} outputs")
    inputs = fingerprints(loaded, images)
    approximate_(loaded.module, rules, calibrating, quantisation, config.seed, integer=integer or False)
    set_gradient_(loaded.module, config.gradient)
    layers = {name: describe(layer.grid) for name, layer in table_layers(loaded.module).items()}
    settings = asdict(config) | {"model": loaded.name, "layers": layers} | inputs
    settings["quantisation"] = asdict(quantisation or QuantConfig())
    if integer is not None:
        settings["integer"] = asdict(integer)
    run = TrainingRun(loaded, teacher.module, images, config)
    weights, resume = (out.with_name(out.name + end) for end in (".safetensors", ".resume.safetensors"))
    facts = train_resumably(run, images.validation, resume, settings, report)
    run.use_average()
    float_weights = _float_weights(loaded.module, teacher.module)
    if "after" not in facts["validation"]:
        facts["validation"]["after"] = top1(loaded, images.validation)
        teacher.module.load_state_dict(float_weights)
        approximate_(teacher.module, rules, calibrating, quantisation, config.seed, integer=integer or False)
        facts["validation"]["recalibrated"] = top1(teacher, images.validation)
        save_tensors(resume, run.tensors(), facts)
    save_tensors(weights, float_weights, structure_facts(loaded.module))
    manifest = facts | {"torch": torch.__version__, **(provenance or {})}
    write_text(out.with_name(out.name + ".json"), json.dumps(manifest, indent=1) + "\n")
    return Finetuned(weights, manifest)


def train_resumably(
    run: "TrainingRun",
    validation: Images,
    resume: Path,
    settings: dict[str, Any],
    report: Callable[[dict[str, float]], None],
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Take all steps of a run, or those that its state ``resume`` lacks, saving it every ``config.every`` steps.

    Returns the facts kept beside the state: ``config``, which is ``settings``; ``curve``, a record every saved state;
    ``validation``, top-1 of the teacher (``float``) and of the model ``before`` the first step; and the ``notes`` of
    the call that began. Raises UserError for a state of other settings.
    """
    if resume.exists():
        tensors, facts = load_state(resume, settings)
        run.restore(tensors)
    else:
        teacher = replace(run.loaded, module=run.teacher)
        facts = {"config": settings, "curve": [], "validation": {
            "images": len(validation), "float": top1(teacher, validation), "before": top1(run.loaded, validation),
        }} | dict(notes or {})  # fmt: skip
    curve, config = facts["curve"], run.config
    while (done := int(curve[-1]["step"]) if curve else 0) < config.steps:
        started, stop = time.process_time(), min(done + config.every, config.steps)
        loss = run.steps(range(done, stop))
        curve.append({"step": stop, "loss": loss, "cpu_s": round(time.process_time() - started, 2)})
        save_tensors(resume, run.tensors(), facts)
        report(curve[-1])
    return facts


def _float_weights(model: nn.Module, original: nn.Module) -> dict[str, Tensor]:
    """The converted model's weights under the names, and in the form, of the float one."""
    state = model.state_dict()
    if isinstance(model, IntegerVit):
        assert isinstance(original, VisionTransformer)
        return unfold(state, original)
    return {name: state[name] for name in original.state_dict()}


class TrainingRun:
    """A model in training: its optimiser, its averaged weights, its teacher and its images.

    ``factor`` gives, for a parameter's name, by how much its rate exceeds the others'.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        teacher: nn.Module,
        images: TrainingImages,
        config: FinetuneConfig,
        factor: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        self.loaded, self.model, self.teacher = loaded, loaded.module, teacher
        self.images, self.config = images.train, config
        if config.checkpointing:
            switch: Any = getattr(self.model, "set_grad_checkpointing", None)
            if switch is None:
                raise UserError(f"{loaded.name} cannot checkpoint its gradients; leave checkpointing off")
            switch(True)
        self.parameters = list(self.model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        kinds: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
        for name, parameter in self.model.named_parameters():
            kinds.setdefault((parameter.ndim > 1, factor(name)), []).append(parameter)
        groups = [
            {"params": some, "weight_decay": config.weight_decay if decayed else 0.0, "factor": times}
            for (decayed, times), some in kinds.items()
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.rate, fused=True)
        self._epoch, self._order = -1, list[Tensor]()

    def tensors(self) -> dict[str, Tensor]:
        """The whole state."""
        average = {f"average.{index}": value for index, value in enumerate(self.average)}
        return training_tensors(self.model, [self.optimiser]) | average

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        restore_training(tensors, self.model, [self.optimiser])
        self.average = [tensors[f"average.{index}"] for index in range(len(self.average))]

    @torch.no_grad()
    def use_average(self) -> None:
        """Give the model its averaged weights."""
        for parameter, value in zip(self.parameters, self.average, strict=True):
            parameter.copy_(value)

    def steps(self, numbers: range) -> float:
        """Take the steps with these numbers; returns their mean loss."""
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()  # its statistics are those that were calibrated with
        total = 0.0
        for number in numbers:
            try:
                total += self._step(number)
            except UserError as error:
                raise UserError(f"training diverged at step {number + 1}, {error}; lower the rate") from error
        return total / len(numbers)

    def _step(self, number: int) -> float:
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + number)
        torch.manual_seed(config.seed * 1_000_003 + number)  # for a model that drops at random
        index = self._batch(number)
        inputs = augment(self.loaded.prepare(self.images.pixels[index]), generator)
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate * group["factor"] * cosine((number + 1) / config.steps, config.warmup)
        loss = self._loss(inputs, torch.from_numpy(self.images.labels[index]))
        if not math.isfinite(loss.item()):
            raise UserError(f"the loss is {loss.item()}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        self.optimiser.step()
        decay = min(config.average, (1 + number) / (10 + number))  # the first weights must not linger
        get_ema_multi_avg_fn(decay)(self.average, [p.detach() for p in self.parameters], number)
        return loss.item()

    def _loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        config = self.config
        if not config.features:
            with torch.no_grad():
                wanted = self.teacher(inputs)
            return distilled_loss(self.model(inputs), labels, wanted, config)
        with torch.no_grad(), encoder_outputs(self.teacher) as goals:
            wanted = self.teacher(inputs)
        with encoder_outputs(self.model) as found:
            loss = distilled_loss(self.model(inputs), labels, wanted, config)
        return loss + config.features * feature_loss(found, goals)

    def _batch(self, number: int) -> np.ndarray:
        """Indices of the images of a step: an epoch is a permutation, its last short batch is dropped."""
        epoch, place = divmod(number, len(self.images) // self.config.batch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
            self._epoch, self._order = epoch, list(batches(len(self.images), self.config.batch, generator))
        return self._order[place].numpy()
