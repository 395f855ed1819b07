"""The benchmark of the emulation as a Markdown page."""

from collections.abc import Iterable, Sequence
from typing import Any

INTRODUCTION = """# Speed of the emulation

`nox -s bench -- --out docs/emulation.md` wrote this page. Every figure is the median over rounds of a ratio within a
round, with the variants taking turns; one thread by CPU time, two by the clock. The plain loop is
`tests/bench/plain_loop.cpp`, a table look-up a product, compiled with -O3 -march=native and given the same threads.
Products are checked against it before they are timed. `drum8s_k4` stands for cells of rank 1, `recursive8s` for rank 2,
`mitchell8s` (rank 64) for any cell.

Goals: 1.0 x float32 for rank 1; 0.45 x float32 and 15 x the plain loop for any cell, 0.3 x in attention; a forward pass
of 1.5 x (rank 1) and 2.5 x (any) float32's time, a training step of 1.5 x, memory of 2 x. AVX-512, NEON and GPUs were
not at hand.
"""

MEMORY = """## Memory that a forward and a training step add at their peak, as multiples of float32

*Held at once*: glibc gives every block of 64 KiB or more back when it is freed, so the process grows by what is alive.
With its default policy freed blocks stay in the heap, and how well the next ones fit differs from run to run.
Weights and what is prepared from them are there before.
"""


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _by_cell(rows: list[dict[str, Any]], title: str, figures: dict[str, str]) -> str:
    """One line a title and thread count, one column a cell, the figures side by side."""
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    lines: dict[tuple[str, int], dict[str, str]] = {}
    for row in rows:
        shown = " / ".join(form.format(row[name]) for name, form in figures.items())
        lines.setdefault((row[title] if title else "", row["threads"]), {})[row["cell"]] = shown
    body = [[name, str(threads), *(line[cell] for cell in cells)] for (name, threads), line in lines.items()]
    return _table([title or "product", "threads", *(f"`{cell}`" for cell in cells)], body)


def page(result: dict[str, Any]) -> str:
    """The whole page; ``result`` as ``nox -s bench -- --json`` prints it."""
    emulation = result["emulation"]
    memory = [
        [row["model"], row["work"], f"`{row['cell']}`", f"{row['held']:.2f}", f"{row['default']:.2f}"]
        for row in emulation["memory"]
    ]
    parts = [
        INTRODUCTION,
        "## Products: speed against float32 matmul / against the plain loop\n",
        _by_cell(emulation["products"], "shape", {"float32": "{:.2f}", "plain_loop": "{:.1f}"}),
        "## Plain torch, no compiler (1576 x 192 x 576): speed against the compiled plain loop\n",
        _by_cell(emulation["without_compiler"], "", {"plain_loop": "{:.1f}"}),
        "## Whole model, 8 images, attention included: forward / training step, as multiples of float32's time\n",
        _by_cell(
            emulation["models"], "model", {"forward_times_float32": "{:.2f}", "step_times_float32": "{:.2f}"}
        ),
        MEMORY,
        _table(["model", "work", "cell", "held at once", "process, default allocator"], memory),
        ", ".join(f"{tool} {version}" for tool, version in result["versions"].items()) + "\n",
    ]  # fmt: skip
    return "\n".join(parts)
