"""The fits of docs/pwl.md: every function by both methods, beside GQA-LUT's published tables.

    python -m tests.bench.pwl

rewrites the page and its chart (``nox -s pwl``).
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from jinja2 import Environment, StrictUndefined

from slipstick.flow.job.manifest import tool_versions
from slipstick.model.pwl.curve import mse_of_codes
from slipstick.model.pwl.functions import FUNCTIONS, RECIPROCAL, RSQRT, Function
from slipstick.model.pwl.genetic import GeneticSettings, fit_genetic
from slipstick.model.pwl.optimal import LOSS, fit, fit_float
from slipstick.model.pwl.published import from_published
from slipstick.rtl.spec.pwl import PwlFormat, PwlTable
from tests.model.pwl.tables import FLOAT_MSE, HEADROOM, INT8_MSE, NINE_BITS, SHIPPED, shipped

DOCS = Path(__file__).parents[2] / "docs"
SCALES = range(7)
DRAWN = 4  # d of the scale 2^-d in the chart
COLOURS = {"optimal": "#2186eb", "genetic": "#f0b429", "published": "#7b8794"}
Result = TypeVar("Result")


def formats(function: Function) -> list[PwlFormat]:
    """Q1.6 for all; reciprocals with as many fraction bits, then with as many bits."""
    return [NINE_BITS, PwlFormat(8, 8, 5)] if function in (RECIPROCAL, RSQRT) else [PwlFormat()]


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """A result, and the CPU seconds it took."""
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def fit_scales(function: Function, entries: int, form: PwlFormat) -> list[PwlTable]:
    """The optimal table of every input scale."""
    return [fit(function, entries, d, form) for d in SCALES]


def rows() -> Iterator[dict[str, Any]]:
    """Errors and times by function, format, entries and method; published figures where the format is theirs."""
    for function in FUNCTIONS.values():
        for form in formats(function):
            for entries in (8, 16):
                row = {"function": function.name, "format": form, "entries": entries}
                print(function.name, form, entries, file=sys.stderr)
                curve, seconds = timed(partial(fit_float, function, entries, form))
                tables, more = timed(partial(fit_scales, function, entries, form))
                headroom = HEADROOM[function.name][entries == 16] if function.name in HEADROOM else None
                yield row | {
                    "method": "optimal", "float": curve.mse(function), "tables": tables, "float_seconds": seconds,
                    "seconds": more / len(tables), "int8": [mse_of_codes(one, function) for one in tables],
                    "over": curve.mse(function) / headroom if headroom and form.fraction == 6 else None,
                    "outside": [outside(one, function) for one in tables],
                }  # fmt: skip
                curve, seconds = timed(partial(fit_genetic, function, entries, form))
                tables = [curve.at_scale(d) for d in SCALES]
                yield row | {
                    "method": "genetic", "float": curve.mse(function), "tables": tables, "seconds": seconds,
                    "int8": [mse_of_codes(one, function) for one in tables], "over": None,
                }  # fmt: skip
                if form.fraction == 6 and (function.name, entries) in FLOAT_MSE:
                    yield row | {
                        "method": "published", "float": FLOAT_MSE[function.name, entries], "seconds": None,
                        "int8": INT8_MSE.get((function.name, entries), ()), "over": None,
                    }  # fmt: skip


def outside(table: PwlTable, function: Function) -> float:
    """Largest error at input codes that can occur, beyond the range that is judged."""
    codes = np.arange(table.input_range[0], table.input_range[1] + 1)
    inputs = codes * 2.0**-table.input_fraction
    beyond = ~function.inside(inputs) & (inputs >= function.domain[0]) & (inputs <= function.domain[1])
    return float(np.abs(table.values(codes[beyond]) - function(inputs[beyond])).max(initial=0))


def mantissas() -> Iterator[dict[str, Any]]:
    """Reciprocals of mantissas, as softmax and LayerNorm use them: the same 8 bits suffice."""
    for function, width, high in ((RECIPROCAL, 10, 511), (RSQRT, 11, 1023)):
        codes = np.arange(256, high + 1)
        for entries in (8, 16):
            table, seconds = timed(partial(fit, function, entries, 8, input_width=width, low=256, high=high))
            errors = np.abs(table.values(codes) - function(codes / 256))
            yield {
                "function": function.name, "range": f"[1, {(high + 1) // 256})", "entries": entries,
                "format": table.format, "mse": float(np.mean(errors**2)), "worst": float(errors.max()),
                "seconds": seconds,
            }  # fmt: skip


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Every function with its optimal table of 8 entries at one scale, and the errors of all methods below it."""
    plt.rcParams.update({"svg.hashsalt": "slipstick", "svg.fonttype": "none", "path.simplify": True})
    figure, axes = plt.subplots(4, 4, figsize=(13, 9), sharex=False, layout="constrained", height_ratios=[2, 1, 2, 1])
    for place, function in enumerate(FUNCTIONS.values()):
        fit_axis, error_axis = (axes[2 * (place // 4) + below][place % 4] for below in (0, 1))
        own = [row for row in found if row["function"] == function.name and row["entries"] == 8]
        codes = np.arange(-128, 128)
        codes = codes[function.inside(codes / 2**DRAWN)]
        inputs = codes / 2**DRAWN
        fit_axis.plot(inputs, function(inputs), color="#323f4b", linewidth=0.8)
        tables = {row["method"]: row["tables"][DRAWN] for row in reversed(own) if "tables" in row}
        if function.name in SHIPPED:
            tables["published"] = from_published(shipped(function.name))[6].at_scale(DRAWN)
        for method, colour in COLOURS.items():
            if method in tables:
                values = tables[method].values(codes)
                error_axis.plot(inputs, values - function(inputs), color=colour, linewidth=0.9, label=method)
        fit_axis.plot(inputs, tables["optimal"].values(codes), color=COLOURS["optimal"], linewidth=1.2)
        for point in tables["optimal"].breakpoints:
            fit_axis.axvline(point / 2**DRAWN, color="#cbd2d9", linewidth=0.6, zorder=0)
        fit_axis.set(title=function.name, xticklabels=[], xlim=(function.low, function.high))
        error_axis.set(xlim=(function.low, function.high))
        error_axis.grid(alpha=0.3)
    axes[1][0].set_ylabel("error")
    figure.legend(*axes[1][0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper center")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Fit everything and write the page and its chart."""
    found = list(rows())
    draw(found, DOCS / "pwl.svg")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "pwl.md.jinja").read_text())
    page = template.render(
        rows=found, mantissas=list(mantissas()), scales=SCALES, drawn=DRAWN, loss=LOSS,
        settings=GeneticSettings(), versions=tool_versions(),
        slowest={method: max(row["seconds"] for row in found if row["method"] == method)
                 for method in ("optimal", "genetic")},
        worst_over=max(row["over"] for row in found if row["over"]),
    )  # fmt: skip
    (DOCS / "pwl.md").write_text("\n".join(line.rstrip() for line in page.splitlines()) + "\n")


if __name__ == "__main__":
    main()
