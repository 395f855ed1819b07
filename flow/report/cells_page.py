"""The page of a characterised set of cells: energy against error, and every figure in a table."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .charts import FRONT_COLOUR, SEQUENCE, style
from .page import fill

SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star")
LEAST = 0.05  # where errors of nothing are drawn: a logarithm has no zero
PANELS = (("mae", "all operand pairs alike"), ("weighted_mae", "weighted by the workload"))


def _error(cell: dict[str, Any], kind: str) -> float:
    return cell["errors"]["mae"] if kind == "mae" else cell["weighted_errors"]["mae"]


def _hover(cell: dict[str, Any]) -> str:
    return (
        f"<b>{cell['name']}</b><br>MAE {cell['errors']['mae']:.2f}, weighted {cell['weighted_errors']['mae']:.2f}<br>"
        f"bias {cell['errors']['bias']:+.2f}, weighted {cell['weighted_errors']['bias']:+.2f}<br>"
        f"{cell['energy_fj']:.0f} fJ, {cell['area_um2']:.0f} µm², {cell['delay_ps']:.0f} ps, rank {cell['rank']}"
    )


def energy_error(cells: list[dict[str, Any]]) -> go.Figure:
    """Energy of an operation against the mean absolute error, both ways of weighing; the fronts as lines."""
    families = list(dict.fromkeys(cell["family"] for cell in cells))
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=[t for _, t in PANELS])
    for column, (kind, _) in enumerate(PANELS, 1):
        for number, family in enumerate(families):
            own = [cell for cell in cells if cell["family"] == family]
            figure.add_scatter(
                x=[cell["energy_fj"] for cell in own], y=[max(_error(cell, kind), LEAST) for cell in own],
                mode="markers", name=family, legendgroup=family, showlegend=column == 1,
                marker={"color": SEQUENCE[number % len(SEQUENCE)], "symbol": SYMBOLS[number // len(SEQUENCE) % 6],
                        "size": 8}, text=[_hover(cell) for cell in own], hovertemplate="%{text}<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
        front = sorted((cell["energy_fj"], max(_error(cell, kind), LEAST)) for cell in cells if cell["pareto"][kind])
        figure.add_scatter(
            x=[x for x, _ in front], y=[y for _, y in front], mode="lines", name="front", legendgroup="front",
            showlegend=column == 1, line={"color": FRONT_COLOUR, "shape": "hv", "width": 2}, hoverinfo="skip",
            row=1, col=column,
        )  # fmt: skip
    style(figure, 560)
    figure.update_layout(
        margin={"t": 40, "r": 20},
        legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "font": {"size": 11}},
    )
    figure.update_xaxes(title="energy an operation (fJ)")
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(title="mean absolute error", col=1)
    return figure


def render_cells(found: dict[str, Any]) -> str:
    """The page for the document of ``slipstick cells --json``; fronts are drawn for one kind of cells at a time."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for cell in found["cells"]:
        a, w = cell["widths"]
        kinds.setdefault(f"{a} x {w}, {'signed' if cell['signed'] else 'unsigned'}", []).append(cell)
    figures = {f"kind_{number}": energy_error(cells) for number, cells in enumerate(kinds.values())}
    return fill("cells.html", figures, d=found, kinds=kinds)
