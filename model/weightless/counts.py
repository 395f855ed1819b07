"""What a weightless replacement takes out of a model, and what it puts in: multiplications, bits, additions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..conversion.state import evaluating
from ..vit_parts import blocks as blocks_of
from .mlp import WeightlessConfig
from .replace import check_blocks, weightless_mlps

CODE_BITS = 8  # of a weight that goes, and of a threshold that comes


@dataclass(frozen=True)
class Counts:
    """Of one image: ``macs`` of the model and of the MLPs that go, ``additions`` and ``comparisons`` that come.

    ``additions`` are those of all bits of the last layer at 1, the most there can be. ``weights`` of the model and of
    the MLPs that go, biases and norms left out; ``entry_bits``, ``table_bits`` and ``threshold_bits`` that come.
    """

    macs: int
    mlp_macs: int
    additions: int
    comparisons: int
    weights: int
    mlp_weights: int
    entry_bits: int
    table_bits: int
    threshold_bits: int

    @property
    def stored_bits(self) -> int:
        """All that comes."""
        return self.entry_bits + self.table_bits + self.threshold_bits

    @property
    def net_bits(self) -> int:
        """Bits that the model stores less, its weights being int8; negative when it stores more."""
        return self.mlp_weights * CODE_BITS - self.stored_bits

    def __str__(self) -> str:
        return (
            f"multiplications: {self.mlp_macs / 1e6:.1f} of {self.macs / 1e6:.1f} M go "
            f"({self.mlp_macs / self.macs:.1%}), at most {self.additions / 1e6:.1f} M additions and "
            f"{self.comparisons / 1e6:.2f} M comparisons come; weights: {self.mlp_weights / 1e3:.0f} of "
            f"{self.weights / 1e3:.0f} k go ({self.mlp_weights / self.weights:.1%}); bits: "
            f"{self.mlp_weights * CODE_BITS / 1e3:.0f} k of weights go, {self.entry_bits / 1e3:.0f} k of entries, "
            f"{self.table_bits / 1e3:.0f} k of tables and {self.threshold_bits / 1e3:.0f} k of thresholds come "
            f"(net {self.net_bits / 1e3:+.0f} k saved)"
        )


@torch.no_grad()
def count(model: nn.Module, blocks: Sequence[int], config: WeightlessConfig, example: Tensor) -> Counts:
    """What replacing the MLPs of ``blocks`` of a float model would change; ``example`` is one image [1, 3, H, W].

    MLPs that are weightless already multiply nothing. Raises UserError for blocks that do not exist or have no
    timm Mlp.
    """
    vit = check_blocks(model, blocks)
    tokens: list[int] = []
    hooks = [
        blocks_of(vit)[number].mlp.register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0].shape[-2]))
        for number in blocks
    ]
    # fused attention is not counted on every device
    with evaluating(model), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(example)
    for hook in hooks:
        hook.remove()
    mlps = [blocks_of(vit)[number].mlp for number in blocks]
    sizes = [mlp.fc1.weight.numel() + mlp.fc2.weight.numel() for mlp in mlps]
    inputs, outputs = (
        [getattr(mlp, name).weight.shape[axis] for mlp in mlps] for name, axis in (("fc1", 1), ("fc2", 0))
    )
    last = config.luts[-1]
    by_module = counter.get_flop_counts()  # without compiled kernels the sums of weightless MLPs are products here
    sums = sum(sum(by_module.get(f"{type(model).__name__}.{name}", {}).values()) for name in weightless_mlps(model))
    return Counts(
        macs=(counter.get_total_flops() - sums) // 2,
        mlp_macs=sum(count * size for count, size in zip(tokens, sizes, strict=True)),
        additions=sum(count * last * size for count, size in zip(tokens, outputs, strict=True)),
        comparisons=sum(count * config.thresholds * size for count, size in zip(tokens, inputs, strict=True)),
        weights=sum(p.numel() for name, p in model.named_parameters() if p.ndim > 1 and name.endswith("weight")),
        mlp_weights=sum(sizes),
        entry_bits=sum(outputs) * last * config.entry_width,
        table_bits=len(mlps) * sum(config.luts) << config.arity,
        threshold_bits=sum(inputs) * config.thresholds * CODE_BITS,
    )
