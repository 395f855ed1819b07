"""The charts of the report, from the summary alone: Plotly figures in one restrained palette."""

from typing import Any

import plotly.graph_objects as go

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
EXACT_COLOUR, FRONT_COLOUR, CHOSEN_COLOUR = "#52606d", "#2186eb", "#e12d39"
SHOWN_LOSS = 10.0  # points of top-1 below the best; worse trials lie outside the first view
SEQUENCE = ("#52606d", "#2186eb", "#17b897", "#f0b429", "#e12d39", "#8662c7", "#da127d", "#3e4c59")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def style(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Give a figure the look that all charts share; ``height`` in pixels."""
    figure.update_layout(
        template="none", height=height, font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 64, "r": 20, "t": 16, "b": 52}, paper_bgcolor="white", plot_bgcolor="white",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, **layout,
    )  # fmt: skip
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    return figure


def accuracy_energy(summary: dict[str, Any]) -> go.Figure:
    """Validation accuracy against array-level energy of every trial, with the front and the choice."""
    trials = {number: (accuracy, energy) for number, accuracy, energy in summary["search"]["trials"]}
    front = [trials[number] for number in summary["search"]["front"]]
    chosen, exact = trials[summary["search"]["chosen"]], trials[summary["search"]["trials"][0][0]]
    figure = go.Figure()
    figure.add_scatter(
        x=[t[1] / 1000 for t in trials.values()], y=[100 * t[0] for t in trials.values()], mode="markers",
        name="trial", marker={"color": "#cbd2d9", "size": 8}, text=[f"trial {n}" for n in trials],
    )  # fmt: skip
    figure.add_scatter(
        x=[t[1] / 1000 for t in front], y=[100 * t[0] for t in front], mode="lines+markers", name="front",
        line={"color": FRONT_COLOUR, "shape": "hv", "width": 2}, marker={"size": 8},
    )  # fmt: skip
    for point, name, colour, symbol in (
        (exact, "all exact", EXACT_COLOUR, "square"), (chosen, "chosen", CHOSEN_COLOUR, "star")
    ):  # fmt: skip
        figure.add_scatter(
            x=[point[1] / 1000], y=[100 * point[0]], mode="markers", name=name,
            marker={"color": colour, "size": 15, "symbol": symbol, "line": {"color": "white", "width": 1}},
        )  # fmt: skip
    figure = style(figure, 420)
    figure.update_xaxes(title="energy an inference, array level (µJ)")
    best = max(100 * accuracy for accuracy, _ in trials.values())
    lowest = min(100 * accuracy for accuracy, _ in trials.values())
    figure.update_yaxes(title="top-1 on validation images (%)", range=[max(lowest, best - SHOWN_LOSS) - 1, best + 1])
    return figure


def _in_lines(name: str) -> str:
    """A cell's name in the narrow field of a map: a word of the family a line, then the parameters."""
    family, _, parameters = name.partition("8s")
    return "<br>".join([*family.split("_"), parameters.strip("_").replace("_", " ")])


def assignment(summary: dict[str, Any]) -> go.Figure:
    """Which cell each layer got: blocks down, kinds of product across."""
    chosen: dict[str, str] = summary["accelerator"]["assignment"]
    rows: dict[str, dict[str, str]] = {}
    for layer in summary["conversion"]["layers"]:
        block, kind = _place(layer)
        rows.setdefault(block, {})[kind] = chosen[layer]
    kinds = list(dict.fromkeys(kind for cells in rows.values() for kind in cells))
    names = summary["search"]["cells"]
    values = [[names.index(cells[kind]) if kind in cells else None for kind in kinds] for cells in rows.values()]
    texts = [[_in_lines(cells.get(kind, "")) for kind in kinds] for cells in rows.values()]
    count = len(names)
    scale = [[edge, SEQUENCE[i % len(SEQUENCE)]] for i in range(count) for edge in (i / count, (i + 1) / count)]
    figure = go.Figure(
        go.Heatmap(
            z=values, x=kinds, y=list(rows), text=texts, texttemplate="%{text}", colorscale=scale, zmin=-0.5,
            zmax=count - 0.5, showscale=False, xgap=3, ygap=3, textfont={"color": "white", "size": 10.5},
            hovertemplate="%{y}.%{x}: %{text}<extra></extra>",
        )
    )  # fmt: skip
    figure = style(figure, 60 + 42 * len(rows))
    figure.update_layout(margin={"l": 90, "r": 20, "t": 34, "b": 8})
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    figure.update_xaxes(side="top", showgrid=False)
    return figure


def _place(layer: str) -> tuple[str, str]:
    parts = layer.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    if len(parts) > 2 and numbers and numbers[0] < len(parts) - 1:
        cut = numbers[0] + 1
        return ".".join(parts[:cut]), ".".join(parts[cut:])
    return ".".join(parts[:-1]) or "model", parts[-1]


def parts_of_energy(summary: dict[str, Any]) -> go.Figure:
    """Energy by part, exact beside chosen: multipliers, rest of the elements, rest of the array."""
    levels = {"exact": summary["energy_nj"]["exact"], "chosen": summary["energy_nj"]["chosen"]}
    parts = {
        "multipliers": lambda x: x["multiplier"],
        "rest of the processing elements": lambda x: x["pe"] - x["multiplier"],
        "rest of the array": lambda x: x["array"] - x["pe"],
    }
    figure = go.Figure()
    for (part, value), colour in zip(parts.items(), ("#2186eb", "#7cc4fa", "#cbd2d9"), strict=True):
        energies = [value(level) / 1000 for level in levels.values()]
        figure.add_bar(
            y=list(levels), x=energies, name=part, orientation="h", marker_color=colour,
            text=[f"{energy:.2f}" for energy in energies], textposition="inside", insidetextanchor="middle",
        )  # fmt: skip
    figure = style(figure, 230, barmode="stack")
    figure.update_xaxes(title="energy an inference (µJ)")
    figure.update_yaxes(autorange="reversed")
    return figure


def layers_energy(summary: dict[str, Any]) -> go.Figure:
    """Array-level energy of every layer, exact beside chosen."""
    layers = summary["energy_nj"]["layers"]
    figure = go.Figure()
    for name, colour in (("exact", "#cbd2d9"), ("chosen", FRONT_COLOUR)):
        figure.add_bar(
            x=list(layers), y=[layer[name]["array"] / 1000 for layer in layers.values()], name=name, marker_color=colour
        )
    figure = style(figure, 360, barmode="group", bargap=0.25)
    figure.update_layout(margin={"l": 64, "r": 20, "t": 16, "b": 140})
    figure.update_yaxes(title="µJ an inference")
    figure.update_xaxes(tickangle=-60, tickfont={"size": 10})
    return figure


def cells_map(summary: dict[str, Any]) -> go.Figure:
    """Energy of a multiply-accumulate against predicted damage of every characterised cell."""
    figure = go.Figure()
    for name, chosen, colour in (("characterised", False, "#9aa5b1"), ("searched", True, FRONT_COLOUR)):
        some = [c for c in summary["cells"] if (c["name"] in summary["search"]["cells"]) == chosen and c["damage"] > 0]
        figure.add_scatter(
            x=[c["pe_fj"] for c in some], y=[c["damage"] for c in some], mode="markers+text", name=name,
            text=[c["name"].replace("8s", "") for c in some], textposition="top center",
            textfont={"size": 10, "color": QUIET}, marker={"color": colour, "size": 9},
        )  # fmt: skip
    exact = next(c for c in summary["cells"] if c["damage"] == 0)
    figure.add_vline(x=exact["pe_fj"], line={"color": EXACT_COLOUR, "dash": "dot"}, annotation_text=exact["name"])
    figure = style(figure, 420)
    figure.update_xaxes(title="energy a multiply-accumulate, processing element (fJ)")
    figure.update_yaxes(title="predicted rise of the loss, all layers", type="log", exponentformat="power")
    return figure
