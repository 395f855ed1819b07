"""Calibration: scales from observed ranges, then the statistics that prediction needs."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from slipstick.errors import UserError

from .attention import ApproxAttention
from .quantise import QuantConfig
from .table_layer import TableLayer

SAMPLE = 32  # images whose codes and gradients are kept: the damage of a cell over all layers takes a second


def calibrate(model: nn.Module, batches: Iterable[Tensor], config: QuantConfig, seed: int = 0) -> None:
    """Fix the scales of a converted model from float inputs [B, ...]; two passes over ``batches``.

    First in float, for the ranges and a sample of gradients; then in exact int8, to count the operand
    codes. Raises UserError when a layer saw no data.
    """
    first, *others = list(batches)
    inputs = [part for part in (first[:SAMPLE], first[SAMPLE:], *others) if len(part)]
    layers = [module for module in model.modules() if isinstance(module, TableLayer)]
    was_training = model.training
    model.eval()
    _observe(model, layers, inputs, torch.Generator().manual_seed(seed))
    for layer in layers:
        if layer.input_observer.range == 0:
            raise UserError(f"layer {layer.path!r} saw no calibration data; is it used by the model's forward?")
        layer.calibrated(config)
    for module in model.modules():
        if isinstance(module, ApproxAttention):
            module.calibrated(config)
    for layer in layers:
        layer.counting = True
    with torch.no_grad():
        for batch in inputs:
            model(batch)
    for layer in layers:
        layer.counting = False
        layer.forget_prepared()  # bias codes now know the operand statistics
    model.train(was_training)


def _observe(model: nn.Module, layers: list[TableLayer], inputs: list[Tensor], generator: torch.Generator) -> None:
    """Ranges over all inputs; for the first batch, gradients by every layer's outputs.

    Labels are drawn from the model's own distribution, so mean squared gradients are the true Fisher
    information, which stands in for the Hessian.
    """
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _: object, output: Tensor) -> None:
        output.retain_grad()
        outputs[module] = output

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    with torch.enable_grad():
        logits = model(inputs[0].detach().requires_grad_()).flatten(0, -2)  # classes last, whatever else there is
        labels = torch.multinomial(logits.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
        nn.functional.cross_entropy(logits, labels.to(logits.device), reduction="sum").backward()
    for hook in hooks:
        hook.remove()
    for layer in layers:
        if layer in outputs:
            gradient = outputs[layer].grad
            assert gradient is not None
            layer.sample.gradient = layer.as_rows(gradient)
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for batch in inputs[1:]:
            model(batch)
