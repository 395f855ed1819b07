"""The report of a run: one self-contained HTML page, made from ``summary.json`` alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from slipstick.errors import UserError
from slipstick.files import read_json, write_text

from . import charts

SCHEMA = 3
"""Of ``summary.json``; grows when a key changes its meaning."""
CHARTS = {
    "divergence_energy": charts.divergence_energy,
    "assignment": charts.assignment,
    "savings": charts.savings,
    "parts_of_energy": charts.parts_of_energy,
    "layers_energy": charts.layers_energy,
    "cells_energy": charts.cells_energy,
    "cells_map": charts.cells_map,
}


def _chart(name: str, figure: go.Figure) -> Markup:
    options = {"displayModeBar": False, "responsive": True}
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=options))


def fill(template: str, figures: Mapping[str, go.Figure], **values: Any) -> str:
    """A page from a template, Plotly's script included: it opens anywhere, without a network."""
    environment = Environment(
        loader=PackageLoader("slipstick.flow.report", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {name: _chart(name, figure) for name, figure in figures.items()}
    return environment.get_template(template).render(charts=drawn, plotly=Markup(get_plotlyjs()), **values)


def render(summary: dict[str, Any]) -> str:
    """The page for a summary."""
    return fill("report.html", {name: draw(summary) for name, draw in CHARTS.items()}, s=summary)


def write_report(summary: dict[str, Any], folder: Path) -> Path:
    """Write ``summary.json`` and ``report.html`` into a folder and return the page."""
    text = json.dumps(summary, indent=1) + "\n"
    write_text(folder / "summary.json", text)
    page = folder / "report.html"
    html = render(summary)
    write_text(page, html)
    return page


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a finished run; UserError when the folder holds none."""
    path = folder / "summary.json"
    try:
        summary = read_json(path)
    except UserError as error:
        raise UserError(f"{path}: no summary of a finished run ({error}); run `slipstick flow` first") from error
    if not isinstance(summary, dict) or "schema" not in summary:
        raise UserError(f"{path}: not a summary of Slipstick")
    if summary["schema"] != SCHEMA:
        raise UserError(f"{path}: written by another version (schema {summary['schema']}, not {SCHEMA}); run it anew")
    return summary
