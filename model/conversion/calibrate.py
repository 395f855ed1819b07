"""Calibration: scales from observed ranges, then the statistics that prediction needs."""

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from slipstick.errors import UserError

from ..layers.attention import ApproxAttention
from ..layers.config import QuantConfig
from ..layers.mixed import EXACT_GRID
from ..layers.table_layer import TableLayer
from .audit import audit
from .batch import Batch, content, count, differentiable, forward, logits, some
from .inputs import read_batches
from .state import all_or_nothing, evaluating

SAMPLE = 32  # images whose codes and gradients are kept: the damage of a cell over all layers takes a second


def calibrate(model: nn.Module, batches: Iterable[Batch], config: QuantConfig, seed: int = 0) -> dict[str, str]:
    """Fix the scales of a converted model from inputs [B, ...]; two passes over ``batches``.

    First in float, for the ranges and a sample of gradients; then in exact int8, to count the operand
    codes. Returns the products that are still made in float: module -> why. Everything is the same for the batches
    in any order: scales and counts are those of all, the sample of codes and gradients, and the work of one image,
    those of the batch whose digest is least.
    Raises UserError when a layer saw no data, and for NaN or Inf in the inputs or on their way; the model is as it
    was then.
    """
    inputs = read_batches(model, batches)
    layers = [module for module in model.modules() if isinstance(module, TableLayer)]
    with torch.inference_mode(False), all_or_nothing(model), evaluating(model):
        return _calibrate(model, layers, inputs, config, seed)


def _calibrate(
    model: nn.Module, layers: list[TableLayer], inputs: list[Batch], config: QuantConfig, seed: int
) -> dict[str, str]:
    inputs = _sample_first(inputs)
    for layer in layers:
        layer.begin_observing()
    missed = _observe(model, layers, inputs, torch.Generator().manual_seed(seed))
    for layer in layers:
        if layer.input_observer.total == 0:
            raise UserError(f"layer {layer.path!r} saw no calibration data; is it used by the model's forward?")
        layer.calibrated(config)
    for module in model.modules():
        if isinstance(module, ApproxAttention):
            module.calibrated()
    grids = [(layer, layer.grid) for layer in layers]
    for layer in layers:
        layer.set_cells(EXACT_GRID)
    _count_codes(model, inputs)
    for layer, grid in grids:
        layer.set_cells(grid)
    return missed


def _sample_first(inputs: list[Batch]) -> list[Batch]:
    """The inputs in an order of their contents alone, with the sample as a batch of its own, the first."""
    first, *others = sorted(inputs, key=content)
    return [part for part in (some(first, 0, SAMPLE), some(first, SAMPLE), *others) if count(part)]


def count_codes(model: nn.Module, inputs: list[Batch]) -> None:
    """Count the operand codes of every calibrated layer anew, and keep those of the sample that calibration took."""
    _count_codes(model, _sample_first(inputs))


@torch.no_grad()
def _count_codes(model: nn.Module, inputs: list[Batch]) -> None:
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
    """Ranges over all inputs; for the first batch, gradients by every layer's outputs."""
    with torch.no_grad():  # so that nothing is checkpointed, and run again
        with audit(model) as missed:
            forward(model, inputs[0])
        for layer in layers:
            layer.measured(count(inputs[0]))
        for batch in inputs[1:]:
            forward(model, batch)
    for layer in layers:
        layer.passive = True
    for layer, gradient in _gradients(model, layers, inputs[0], generator).items():
        layer.sample.gradient = layer.as_rows(gradient)
    for layer in layers:
        layer.passive = False
    return missed


def _gradients(
    model: nn.Module, layers: list[TableLayer], batch: Batch, generator: torch.Generator
) -> dict[TableLayer, Tensor]:
    """The gradient of the loss by every layer's outputs in its first run on a batch; parameters get none.

    Labels are drawn from the model's own distribution, so mean squared gradients are the true Fisher
    information, which stands in for the Hessian.
    """
    gradients: dict[TableLayer, Tensor] = {}

    def watch(layer: TableLayer, _: object, output: Tensor) -> Tensor:
        if layer not in waiting or not torch.is_grad_enabled():
            return output  # its first run is the one whose codes are kept; a checkpoint's first is without gradients
        waiting.remove(layer)
        if not output.requires_grad:  # frozen parameters, integer inputs
            output.requires_grad_()
        output.register_hook(lambda gradient: gradients.__setitem__(layer, gradient))
        return output.clone()  # the hook must survive an activation in place

    waiting = set(layers)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with ExitStack() as stack:
        for parameter in trained:
            parameter.requires_grad_(False)
            stack.callback(parameter.requires_grad_, True)
        for layer in layers:
            stack.callback(layer.register_forward_hook(watch).remove)
        stack.enter_context(torch.enable_grad())
        _sampled_loss(logits(forward(model, differentiable(batch))), generator).backward()
    return gradients


def _sampled_loss(output: Tensor, generator: torch.Generator) -> Tensor:
    """Minus the log-likelihood, summed, of labels drawn from what the model says: classes last, whatever else there is.

    A single output is the mean of a normal distribution of variance 1.
    """
    if not output.requires_grad or not output.is_floating_point():
        raise UserError("the model's outputs have no gradient, so no cell's damage can be told; return them before any "
                        "detach, argmax or no_grad")  # fmt: skip
    if output.ndim < 2 or output.shape[-1] == 1:
        noise = torch.randn(output.shape, generator=generator).to(output.device)
        return (output * noise).sum()
    classes = output.float().flatten(0, -2)
    labels = torch.multinomial(classes.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
    return nn.functional.cross_entropy(classes, labels.to(classes.device), reduction="sum")
