"""The page of a sensitivity sweep: heat maps of layers and cells, and predicted against measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .charts import FRONT_COLOUR, GRID, QUIET, style
from .page import fill

FEW, MOST_TEXTS = 12, 24  # columns beyond which figures lose a decimal, and do not fit into their fields
ROW, COLUMN_NAMES = 22, 150  # pixels
RISE = ((0, "#1c6dd0"), (0.5, "#ffffff"), (0.75, "#f7b4a1"), (1, "#b3151f"))  # better, nothing, worse
SPREAD = ((0, "#ffffff"), (0.5, "#f7b4a1"), (1, "#b3151f"))


@dataclass(frozen=True)
class View:
    """One figure of the trials as a map: how it is read, bent to colours, and written."""

    title: str
    figure: Callable[[dict[str, Any]], tuple[float, float]]  # of a trial: value and standard error
    decimals: int
    unit: float  # about linear in colour below, logarithmic above
    ticks: tuple[float, ...]
    signed: bool = True

    def value(self, trial: dict[str, Any]) -> float:
        """The figure of a trial."""
        return self.figure(trial)[0]

    def text(self, trial: dict[str, Any], short: bool) -> str:
        """The figure as text; nothing where it lies within two standard errors of zero."""
        value, error = self.figure(trial)
        if abs(value) < max(2 * error, 1e-9):
            return ""
        return f"{value:{'+' if self.signed else ''}.{self.decimals - short}f}"

    def bend(self, value: float) -> float:
        """Where a value stands on the colour scale."""
        return float(np.arcsinh(value / self.unit))


VIEWS = (
    View("rise of the loss (nats)", lambda t: (t["loss"], t["loss_error"]), 3, 0.01, (0, 0.01, 0.03, 0.1, 0.3, 1, 3)),
    View("top-1 lost (points)", lambda t: (-100 * t["accuracy"], 100 * t["accuracy_error"]), 1, 1,
         (0, 1, 3, 10, 30, 100)),
    View("divergence from exact (nats)", lambda t: (t["divergence"], t["divergence_error"]), 3, 0.001,
         (0, 0.001, 0.01, 0.1, 1, 10), signed=False),
)  # fmt: skip


def _hover(trial: dict[str, Any]) -> str:
    return (
        f"<b>{trial['layer']}</b> on <b>{trial['cell']}</b><br>"
        f"loss {trial['loss']:+.4f} ± {trial['loss_error']:.4f} nats<br>"
        f"top-1 {100 * trial['accuracy']:+.2f} ± {100 * trial['accuracy_error']:.2f} points<br>"
        f"divergence {trial['divergence']:.4f} ± {trial['divergence_error']:.4f}<br>"
        f"predicted {trial['predicted']:.4f}<br>"
        f"{trial['images']} images"
    )


def ordered_cells(document: dict[str, Any]) -> list[str]:
    """Cells from mild to harsh: by their divergence summed over layers."""
    total = dict.fromkeys(document["cells"], 0.0)
    for trial in document["trials"]:
        total[trial["cell"]] += trial["divergence"]
    return sorted(document["cells"], key=lambda name: total[name])


def heat_map(document: dict[str, Any]) -> go.Figure:
    """Layers in order of execution down, cells from mild to harsh across; buttons choose the figure."""
    cells, layers = ordered_cells(document), document["layers"]
    trials = {(trial["layer"], trial["cell"]): trial for trial in document["trials"]}
    grid = [[trials[layer, cell] for cell in cells] for layer in layers]
    figure = go.Figure()
    for number, view in enumerate(VIEWS):
        values = [[view.value(trial) for trial in row] for row in grid]
        top = max(view.bend(view.ticks[3]), max(view.bend(abs(value)) for row in values for value in row))
        ticks = [tick for tick in view.ticks if view.bend(tick) <= top]
        ticks = [-tick for tick in reversed(ticks[1:])] + ticks if view.signed else ticks
        figure.add_heatmap(
            x=cells, y=layers, z=[[view.bend(value) for value in row] for row in values], visible=number == 0,
            zmin=-top if view.signed else 0, zmax=top, colorscale=RISE if view.signed else SPREAD,
            text=[[view.text(trial, short=len(cells) > FEW) for trial in row] for row in grid],
            texttemplate="%{text}" if len(cells) <= MOST_TEXTS else None,
            textfont={"size": 9 if len(cells) > FEW else 11},
            customdata=[[_hover(trial) for trial in row] for row in grid],
            hovertemplate="%{customdata}<extra></extra>", xgap=2, ygap=2,
            colorbar={"title": {"text": view.title, "side": "right"}, "thickness": 14, "outlinewidth": 0,
                      "tickvals": [view.bend(tick) for tick in ticks], "ticktext": [f"{tick:g}" for tick in ticks],
                      "len": min(1.0, 360 / (ROW * len(layers))), "y": 1, "yanchor": "top"},
        )  # fmt: skip
    figure = style(figure, COLUMN_NAMES + 20 + max(ROW * len(layers), 200))
    buttons = [
        {"label": view.title, "method": "restyle", "args": [{"visible": [other is view for other in VIEWS]}]}
        for view in VIEWS
    ]
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0, "xanchor": "left", "y": 1,
            "yanchor": "bottom", "pad": {"b": COLUMN_NAMES - 46}, "bgcolor": "white", "bordercolor": GRID,
            "font": {"size": 12.5}}  # fmt: skip
    figure.update_layout(updatemenus=[menu], margin={"l": 20, "r": 20, "t": COLUMN_NAMES, "b": 12},
                         plot_bgcolor=GRID)  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, tickfont={"size": 11.5}, ticksuffix=" ")
    figure.update_xaxes(side="top", showgrid=False, tickangle=-38, tickfont={"size": 11.5})
    return figure


def predicted_measured(document: dict[str, Any]) -> go.Figure:
    """Divergence that one pass predicts against the measured one, both axes logarithmic."""
    floor = 1e-6
    figure = go.Figure()
    some = [trial for trial in document["trials"] if trial["predicted"] > floor and trial["divergence"] > floor]
    figure.add_scatter(
        x=[t["predicted"] for t in some], y=[t["divergence"] for t in some], mode="markers", name="a layer on a cell",
        error_y={"array": [t["divergence_error"] for t in some], "thickness": 1, "width": 0, "color": "#cbd2d9"},
        marker={"color": FRONT_COLOUR, "size": 6, "opacity": 0.7}, text=[_hover(t) for t in some],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    ends = [floor, 10.0]
    if some:
        ends = [fold(t[key] for t in some for key in ("predicted", "divergence")) for fold in (min, max)]
    figure.add_scatter(x=ends, y=ends, mode="lines", name="equal", line={"color": QUIET, "dash": "dot", "width": 1})
    figure = style(figure, 420)
    figure.update_xaxes(title="predicted from one pass (nats)", type="log", exponentformat="power")
    figure.update_yaxes(title="measured (nats)", type="log", exponentformat="power")
    return figure


def render_heat_map(document: dict[str, Any]) -> str:
    """The page for the document of docs/sensitivity.md."""
    worst = max(document["trials"], key=lambda trial: trial["divergence"])
    figures = {"heat_map": heat_map(document), "predicted_measured": predicted_measured(document)}
    return fill("sensitivity.html", figures, d=document, worst=worst)
