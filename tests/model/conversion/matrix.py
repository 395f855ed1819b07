"""The conversion matrix of docs/conversion.md: real model sizes, random weights, what became of every product.

    python -m tests.model.conversion.matrix

rewrites the file (``nox -s matrix``); a test rewrites the rows of the cheap models and compares.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import nn

from slipstick.files import write_whole
from slipstick.model.conversion.batch import Batch
from slipstick.model.convert import approximate_, table_layers
from slipstick.model.layers.convolution import ApproxConv2d
from slipstick.model.layers.linear import ApproxLinear
from slipstick.model.layers.matmul import ApproxMatmul
from slipstick.model.layers.table_layer import TableLayer

FILE = Path(__file__).resolve().parents[3] / "docs" / "conversion.md"
IMAGES = 2
KINDS = ("Linear", "Conv2d", "grouped Conv2d", "QKᵀ", "AV", "other product")


def _timm(name: str, size: int) -> Callable[[], tuple[nn.Module, Batch]]:
    return lambda: (timm.create_model(name, pretrained=False), torch.randn(IMAGES, 3, size, size))


def _text(config: str, model: str, attention: str) -> tuple[nn.Module, Batch]:
    import transformers

    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    made = getattr(transformers, config)(**sizes, attn_implementation=attention)
    tokens = torch.randint(0, 1000, (8, 32))
    return getattr(transformers, model)(made), {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _encoder() -> tuple[nn.Module, Batch]:
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 6)), torch.randn(8, 16, 64)


MODELS: dict[str, Callable[[], tuple[nn.Module, Batch]]] = {
    "vit_tiny_patch16_224": _timm("vit_tiny_patch16_224", 224),
    "deit_tiny_distilled_patch16_224": _timm("deit_tiny_distilled_patch16_224", 224),
    "swin_tiny_patch4_window7_224": _timm("swin_tiny_patch4_window7_224", 224),
    "swinv2_tiny_window8_256": _timm("swinv2_tiny_window8_256", 256),
    "volo_d1_224": _timm("volo_d1_224", 224),
    "gcvit_xxtiny": _timm("gcvit_xxtiny", 224),
    "efficientvit_b0": _timm("efficientvit_b0", 224),
    "efficientvit_m0": _timm("efficientvit_m0", 224),
    "BertForSequenceClassification (sdpa)": lambda: _text("BertConfig", "BertForSequenceClassification", "sdpa"),
    "BertForSequenceClassification (eager)": lambda: _text("BertConfig", "BertForSequenceClassification", "eager"),
    "nn.TransformerEncoder": _encoder,
}
CHEAP = ("BertForSequenceClassification (sdpa)", "BertForSequenceClassification (eager)", "nn.TransformerEncoder")


def kind(name: str, layer: TableLayer) -> str:
    """The column of a converted layer."""
    if isinstance(layer, ApproxConv2d):
        return "grouped Conv2d" if layer.groups > 1 else "Conv2d"
    if isinstance(layer, ApproxLinear):
        return "Linear"
    assert isinstance(layer, ApproxMatmul)
    stem = name.rpartition(".")[2].split("_")[0]
    return {"qk": "QKᵀ", "av": "AV"}.get(stem, "other product")


def row(title: str) -> str:
    """One line of the table, from a conversion that really takes place."""
    torch.manual_seed(0)
    model, batch = MODELS[title]()
    report = approximate_(model.eval(), {}, [batch])
    counts = Counter(kind(name, layer) for name, layer in table_layers(model).items())
    left = "; ".join(f"{name}: {why}" for name, why in report.left_exact.items()) or "nothing"
    unused = ", ".join(report.unused) or "nothing"
    return " | ".join([f"| {title}", *(str(counts[k] or "") for k in KINDS), left, f"{unused} |"])


TEXT = """# What runs on cells

Counts of layers, from conversions that took place: random weights, two inputs, every product of a forward pass.
`nox -s matrix` writes this table; `tests/model/conversion/test_coverage.py` proves for small instances of the families
that the numbers are those of the quantised float model and that no ATen product of floats is left.

| model | {kinds} | left in float | not reached |
|---|{rules}---|---|
{rows}

## How a product gets there

| what the model does | layer in the report |
|---|---|
| `nn.Linear`, `nn.Conv2d` with zero padding (any stride, dilation, groups, `same`) | its own name |
| timm's `Attention` | `qkv`, `qk`, `av`, `proj`, `gate` below its name; codes go from product to product |
| `nn.MultiheadAttention`, alone or in torch's transformer layers | `q`, `k`, `v`, `qk`, `av`, `out_proj` |
| `F.scaled_dot_product_attention`, or a product before and one after a softmax | `qk` and `av` of the caller |
| another product of two activations: `@`, `matmul`, `bmm`, `baddbmm`, `einsum` of two | `matmul_0`, `matmul_1`, ... |
| `F.linear`, `@`, `addmm` with a parameter that is no layer's (transformers' `Conv1D`) | `linear_0`, ... |
| `F.linear` with the weight of a Linear below (Swin v2) | the name of that Linear |
| `F.conv2d` with a parameter (other padding modes, padding computed in forward) | `conv_0`, ... |

## What stays in float, and is named in the report

- Layers that `keep=` names.
- Outer products (K = 1) with a constant, such as positions times frequencies: nothing is summed.
- Convolutions in one and three dimensions, transposed ones, those whose weights forward computes; recurrent
  layers; `bilinear`, `cdist`; whatever else calibration's audit of ATen operators sees outside converted layers.

Element-wise products (gates, layer scale), softmax, norms and activations are no products of this kind.

## State, copies and files

A converted model's state dict has the float model's names and, from conversion on, one fixed set more for every layer
on cells: `activation_scale`, `output_scale`, `mean_error` (the offset that takes the cells' mean error out) and
`weight_clip`, or, for a product of two activations, `stationary_scale`; an integer-only ViT has `stream_scale` and
`logit_scale` too. It loads strictly into any other conversion of the same model, and moving averages of every kind
work. Float weights loaded without an offset get their own. What is derived from weights follows the numbers that they
hold, however these came there: optimisers (fused too), `.data`, replaced parameters, `torch.func.functional_call`.

`save_converted` and `load_converted` (`slipstick.model.convert`) write and read one safetensors file with a JSON
manifest and a checksum: cells as netlists, mixes, scales, operand statistics, piecewise linear tables.
`samples=False` leaves out the layers' sample inputs, which predictions of damage use and which make most of the file.

NaN or Inf in an input, and a bias, sum or embedding that whole numbers of the hardware's widths cannot hold, is an
error that names the layer. What saturates, as the hardware does, is data: int8 operands beyond their calibrated
range, requantised outputs, the int16 residual stream.

## Limits

- Products are told apart by their order in the module that makes them. A forward that makes others than the traced
  one raises an error that names the module; a module that changes from call to call is refused.
- Cells of a grouped convolution go by the channel *within* its group: each group is an array product of its own, and
  so it is recorded, costed and co-simulated. A depthwise layer therefore uses the first column's cells only.
- A bias that a functional call adds itself stays a float addition after the cells.
- A parameter of more than two dimensions, or inside an `einsum`, counts as a second activation: one scale.
"""


def text(rows: list[str]) -> str:
    """The whole file."""
    return TEXT.format(kinds=" | ".join(KINDS), rules="---|" * len(KINDS), rows="\n".join(rows))


def main() -> None:
    """Convert every model and write docs/conversion.md."""
    written = text([row(title) for title in MODELS])
    write_whole(FILE, lambda file: file.write_text(written))


if __name__ == "__main__":
    main()
