"""The stream's format as a page for whoever builds around the design, from the descriptions beside the code."""

import inspect
import re
from collections.abc import Iterable

from slipstick.rtl import accelerator
from slipstick.rtl.spec import schedule
from slipstick.rtl.spec.schedule import COLUMN_FIELDS, DRAIN_FIELDS, KIND_BITS, SIGNED_FIELDS, Kind, data_bytes

from .design import HandedDesign


def stream_markdown(design: HandedDesign) -> str:
    """Text of ``stream.md``: kinds of beats, fields, answers and timing of this very design."""
    array = design.array
    fields = {"COLUMN": COLUMN_FIELDS, "DRAIN_ACCUMULATORS and DRAIN_OUTPUTS": DRAIN_FIELDS}
    tables = [f"### Fields of {name}\n\n{_fields(listed)}" for name, listed in fields.items()]
    joined = "\n\n".join(tables)
    return f"""# The stream of {design.top}

{array.describe()}; R = {array.rows}, C = {array.columns}. `s_axis_tdata` has {data_bytes(array)} bytes, `s_axis_tuser`
{KIND_BITS} bits, `m_axis_tdata` {array.columns} lanes of 32 bits. Accumulators hold {design.accumulator_rows} rows of
activations, and sums of up to {design.depth} tiles of weights.

## Format

{_markdown(inspect.getdoc(schedule) or "")}

| `s_axis_tuser` | kind |
|---|---|
{_lines(f"| {kind.value} | {kind.name} |" for kind in Kind)}

{joined}

## Timing

{_markdown(inspect.getdoc(accelerator) or "")}

{_markdown(inspect.getdoc(accelerator.Accelerator) or "")}

Here R + C + 1 = {array.rows + array.columns + 1}.
"""


def _fields(listed: dict[str, int]) -> str:
    rows, low = [], 0
    for name, width in listed.items():
        sign = "signed" if name in SIGNED_FIELDS else "unsigned"
        rows.append(f"| {name} | {low + width - 1}:{low} | {sign} |")
        low += width
    return _lines(["| field | bits of `s_axis_tdata` | |", "|---|---|---|", *rows])


def _lines(rows: Iterable[str]) -> str:
    return "\n".join(rows)


def _markdown(text: str) -> str:
    """A docstring's text: literals in single quotes, simple tables as those of Markdown."""
    lines: list[str] = []
    table = ""
    for line in text.replace("``", "`").splitlines():
        if re.fullmatch(r"=+ +=+", line):
            if not table:
                lines += ["| | |", "|---|---|"]
            table = "" if table else line
        elif table:
            cut = table.index(" ")
            lines.append(f"| {line[:cut].strip()} | {line[cut:].strip()} |")
        else:
            lines.append(line)
    return "\n".join(lines)
