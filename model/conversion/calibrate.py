"""Calibration: scales from observed ranges, then the statistics that prediction needs."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from slipstick.errors import UserError

from ..layers.attention import ApproxAttention
from ..layers.quantise import QuantConfig
from ..layers.table_layer import TableLayer
from .audit import audit
from .batch import Batch, check_batches, count, differentiable, forward, logits, some

SAMPLE = 32  # images whose codes and gradients are kept: the damage of a cell over all layers takes a second


def calibrate(model: nn.Module, batches: Iterable[Batch], config: QuantConfig, seed: int = 0) -> dict[str, str]:
    """Fix the scales of a converted model from inputs [B, ...]; two passes over ``batches``.

    First in float, for the ranges and a sample of gradients; then in exact int8, to count the operand
    codes. Returns the products that are still made in float: module -> why. Raises UserError when a
    layer saw no data, and for NaN or Inf in the inputs or on their way.
    """
    first, *others = check_batches(list(batches))
    inputs = [part for part in (some(first, 0, SAMPLE), some(first, SAMPLE), *others) if count(part)]
    layers = [module for module in model.modules() if isinstance(module, TableLayer)]
    was_training = model.training
    model.eval()
    for layer in layers:
        layer.observing = True
    missed = _observe(model, layers, inputs, torch.Generator().manual_seed(seed))
    for layer in layers:
        if layer.input_observer.range == 0:
            raise UserError(f"layer {layer.path!r} saw no calibration data; is it used by the model's forward?")
        layer.calibrated(config)
    for module in model.modules():
        if isinstance(module, ApproxAttention):
            module.calibrated(config)
    count_codes(model, inputs)
    model.train(was_training)
    return missed


@torch.no_grad()
def count_codes(model: nn.Module, inputs: list[Batch]) -> None:
    """Count the operand codes of every calibrated layer anew, and keep the first input's as the sample."""
    layers = [module for module in model.modules() if isinstance(module, TableLayer)]
    for layer in layers:
        layer.forget_counts()
        layer.counting = True
    for batch in inputs:
        forward(model, batch)
    for layer in layers:
        layer.counting = False
        layer.forget_prepared()  # bias codes now know the operand statistics


def _observe(
    model: nn.Module, layers: list[TableLayer], inputs: list[Batch], generator: torch.Generator
) -> dict[str, str]:
    """Ranges over all inputs; for the first batch, gradients by every layer's outputs.

    Labels are drawn from the model's own distribution, so mean squared gradients are the true Fisher
    information, which stands in for the Hessian.
    """
    gradients: dict[TableLayer, Tensor] = {}

    def watch(layer: TableLayer, _: object, output: Tensor) -> Tensor:
        if layer not in waiting:
            return output  # its first run is the one whose codes are kept
        waiting.remove(layer)
        if not output.requires_grad:  # frozen parameters, integer inputs
            output.requires_grad_()
        output.register_hook(lambda gradient: gradients.__setitem__(layer, gradient))
        return output.clone()  # the hook must survive an activation in place

    waiting = set(layers)
    hooks = [layer.register_forward_hook(watch) for layer in layers]
    images = count(inputs[0])
    with torch.enable_grad():
        with audit(model) as missed:
            output = forward(model, differentiable(inputs[0]))
        classes = logits(output).flatten(0, -2)  # classes last, whatever else there is
        labels = torch.multinomial(classes.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
        nn.functional.cross_entropy(classes, labels.to(classes.device), reduction="sum").backward()
    for hook in hooks:
        hook.remove()
    for layer in layers:
        layer.measured(images)
        layer.sample.images = images
        if layer in gradients:
            layer.sample.gradient = layer.as_rows(gradients[layer])
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for batch in inputs[1:]:
            forward(model, batch)
    return missed
