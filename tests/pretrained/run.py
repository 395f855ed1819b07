"""Write docs/pretrained.md: a real pretrained encoder on exact, mild and harsh cells (``nox -s pretrained``)."""

from collections import Counter
from pathlib import Path

import torch

from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.layers.config import QuantConfig
from tests.pretrained.encoder import Task, cosine, load, top1

CELLS = {"exact8s": "exact", "drum8s_k6": "mild", "truncated8s_k4": "mild", "truncated8s_k6": "harsh",
         "truncated8s_k9": "harsh"}  # fmt: skip
RANGES = {
    "largest value": QuantConfig("minmax"),
    "least squared error": QuantConfig("mse"),
    "percentile 99.99": QuantConfig("percentile", 99.99),
    "percentile 99.9": QuantConfig("percentile", 99.9),
}
OUT = Path(__file__).resolve().parents[2] / "docs" / "pretrained.md"
TEXT = """# A pretrained transformer on multiplier cells

Written by `nox -s pretrained`; do not edit. all-MiniLM-L6-v2, a BERT encoder of 6 blocks with its published
weights, loaded with `transformers` and converted with `approximate_`: {layers}.

The task is ours: {pairs} sentences of twelve topics and their paraphrases, close ones within each topic (who did what
to whom, before or after). Top-1 is how often the nearest vector is the partner's, in both directions, so
{queries} queries; its standard error is about {error:.1f} points. The cosine compares each vector with that of the
float model, which finds {fp32:.1f} %. {calibration} other sentences calibrate. Each cell runs every layer, nothing is
retrained.

| cell | | {names} |
|---|---|{rule}|
{rows}

Top-1, with the cosine to float in brackets. In the layer where they stand out most, the largest activation is
{outlier:.0f} times the 99.9th percentile. A range that keeps such values leaves most codes small, and truncated cells,
which drop the low bits of every product, take small codes away altogether; a range that clips them costs
accuracy with exact cells already, but lets harsher cells live.
"""


def measure() -> str:
    """The document: every cell under every choice of ranges."""
    task = Task.read()
    exact = task.embed(load())
    results: dict[str, list[str]] = {name: [] for name in CELLS}
    kinds, outlier = "", 0.0
    for config in RANGES.values():
        model = load()
        report = approximate_(model, {}, task.calibration.split(32), config)
        counted = Counter(type(layer).__name__ for layer in table_layers(model).values())
        for layer in table_layers(model).values():
            usual = 127 * layer.input_observer.scale(RANGES["percentile 99.9"])
            outlier = max(outlier, layer.input_observer.largest / usual)
        left = "; ".join(f"{name} left in float, {why}" for name, why in report.left_exact.items())
        kinds = ", ".join(f"{count} {kind}" for kind, count in counted.items()) + (f"; {left}" if left else "")
        for name in CELLS:
            assign_(model, {"default": name})
            found = task.embed(model)
            results[name].append(f"{100 * top1(found):.1f} % ({cosine(exact, found):.3f})")
    queries, rate = 2 * len(task.sentences), top1(exact)
    return TEXT.format(
        layers=kinds, outlier=outlier, pairs=len(task.sentences), queries=queries, fp32=100 * rate,
        error=100 * (rate * (1 - rate) / queries) ** 0.5, calibration=len(task.calibration), names=" | ".join(RANGES),
        rule="|".join(["---:"] * len(RANGES)),
        rows="\n".join(f"| `{name}` | {kind} | {' | '.join(results[name])} |" for name, kind in CELLS.items()),
    )  # fmt: skip


if __name__ == "__main__":
    torch.manual_seed(0)
    text = measure()
    OUT.write_text(text, encoding="utf-8")
    print(text)
