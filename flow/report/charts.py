"""The charts of the report, from the summary alone: Plotly figures in one restrained palette."""

from typing import Any

import plotly.graph_objects as go

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
EXACT_COLOUR, FRONT_COLOUR, CHOSEN_COLOUR = "#52606d", "#2186eb", "#e12d39"
SHOWN_DIVERGENCE = 3.0  # times the greatest of a tested candidate; worse trials lie outside the first view
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


def divergence_energy(summary: dict[str, Any]) -> go.Figure:
    """Divergence from exact int8 against energy of every trial, with the front, the tested and the choice."""
    search = summary["search"]
    trials = {number: (energy / 1000, divergence) for number, divergence, _, energy in search["trials"]}
    accuracies = {number: accuracy for number, _, accuracy, _ in search["trials"]}
    tested = [one["trial"] for one in search["confirmed"]]
    figure = go.Figure()

    def add(numbers: list[int], name: str, mode: str = "markers", **look: Any) -> None:
        figure.add_scatter(
            x=[trials[n][0] for n in numbers], y=[trials[n][1] for n in numbers], mode=mode, name=name,
            text=[f"trial {n}, top-1 {100 * accuracies[n]:.1f} %" for n in numbers], **look,
        )  # fmt: skip

    add(list(trials), "trial", marker={"color": "#cbd2d9", "size": 8})
    add(search["front"], "front", "lines+markers", line={"color": FRONT_COLOUR, "shape": "hv", "width": 2},
        marker={"size": 8})  # fmt: skip
    add(tested, "tested on validation images", marker={"color": FRONT_COLOUR, "size": 14, "symbol": "circle-open"})
    for number, name, colour, symbol in (
        (search["exact"], "all exact", EXACT_COLOUR, "square"), (search["chosen"], "chosen", CHOSEN_COLOUR, "star")
    ):  # fmt: skip
        add([number], name,
            marker={"color": colour, "size": 15, "symbol": symbol, "line": {"color": "white", "width": 1}})  # fmt: skip
    figure = style(figure, 420)
    figure.update_xaxes(title="energy an inference (µJ)")
    worst = max(divergence for _, divergence in trials.values())
    shown = min(worst, SHOWN_DIVERGENCE * max([trials[n][1] for n in tested], default=worst))
    figure.update_yaxes(title="divergence from exact int8 (nats)", range=[-0.03 * shown, 1.05 * shown])
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


PARTS = {
    "multiplier": ("multipliers", "#2186eb"),
    "adder": ("adder trees", "#7cc4fa"),
    "sum registers": ("sum registers", "#bae3ff"),
    "activations": ("activations: encoders and registers", "#f0b429"),
    "broadcast": ("activations: pins and buffers", "#f7d070"),
    "weights": ("weights: banks and encoders", "#8662c7"),
    "clock pins": ("clock pins and gates", "#8eedc7"),
    "accumulate": ("accumulation", "#17b897"),
    "requantise": ("requantisers", "#da127d"),
    "control": ("control", "#9aa5b1"),
    "wires": ("wires", "#52606d"),
    "clock tree": ("clock tree", "#e12d39"),
    "waiting": ("waiting for other tiles", "#cbd2d9"),
}
"""Parts of an inference's energy in the order of the bars: title and colour."""


def _stacked(bars: dict[str, dict[str, float]], titles: dict[str, tuple[str, str]], **options: Any) -> go.Figure:
    """Stacked bars of parts; ``bars`` are parts by bar, in the unit of the axis."""
    figure = go.Figure()
    across = options.get("orientation") == "h"
    for part, (title, colour) in titles.items():
        values = [parts.get(part, 0.0) for parts in bars.values()]
        if any(abs(value) > 0 for value in values):
            places = {"y": list(bars), "x": values} if across else {"x": list(bars), "y": values}
            figure.add_bar(**places, name=title, marker_color=colour, **options)
    return figure


def parts_of_energy(summary: dict[str, Any]) -> go.Figure:
    """Everything that one image takes by part, exact beside chosen."""
    power = summary["power"]
    bars = {
        name: {part: energy / 1000 for part, energy in power[name]["parts_nj"].items()} for name in ("exact", "chosen")
    }
    figure = style(_stacked(bars, PARTS, orientation="h"), 300, barmode="stack")
    figure.update_layout(margin={"l": 64, "r": 20, "t": 90, "b": 52}, legend_traceorder="normal")
    figure.update_xaxes(title="energy an inference (µJ)")
    figure.update_yaxes(autorange="reversed")
    return figure


def savings(summary: dict[str, Any]) -> go.Figure:
    """What is saved at each level, side by side."""
    saved = summary["energy_saving"]
    names = {"multiplier": "multipliers", "mac": "with adder trees", "array": "array", "inference": "inference"}
    values = [100 * saved[level] for level in names]
    figure = go.Figure()
    figure.add_bar(
        x=list(names.values()), y=values, marker_color=["#2186eb", "#7cc4fa", "#cbd2d9", "#52606d"],
        text=[f"{value:.1f} %" for value in values], textposition="outside", cliponaxis=False,
    )  # fmt: skip
    figure = style(figure, 280, bargap=0.5)
    figure.update_layout(margin={"l": 64, "r": 20, "t": 30, "b": 40})
    figure.update_yaxes(title="energy saved (%)")
    return figure


def layers_energy(summary: dict[str, Any]) -> go.Figure:
    """Energy of every layer by part on the chosen cells; a mark shows the exact design's total."""
    layers = summary["power"]["layers"]
    bars = {
        name: {part: energy / 1000 for part, energy in layer["chosen"]["parts_nj"].items()}
        for name, layer in layers.items()
    }
    figure = _stacked(bars, PARTS)
    figure.add_scatter(
        x=list(layers), y=[layer["exact"]["energy_nj"] / 1000 for layer in layers.values()], mode="markers",
        name="exact design", marker={"color": INK, "symbol": "line-ew-open", "size": 14, "line": {"width": 2}},
    )  # fmt: skip
    figure = style(figure, 460, barmode="stack", bargap=0.25)
    figure.update_layout(margin={"l": 64, "r": 20, "t": 90, "b": 140}, legend_traceorder="normal")
    figure.update_yaxes(title="µJ an inference")
    figure.update_xaxes(tickangle=-60, tickfont={"size": 10})
    return figure


def cells_energy(summary: dict[str, Any]) -> go.Figure:
    """Energy of a multiply-accumulate of the searched cells on all layers, by part of the accelerator."""
    cells = [cell for cell in summary["cells"] if cell["name"] in summary["search"]["cells"]]
    figure = _stacked({cell["name"]: cell["parts_fj"] for cell in cells}, PARTS, orientation="h")
    figure = style(figure, 110 + 34 * len(cells), barmode="stack")
    figure.update_layout(margin={"l": 64, "r": 20, "t": 40, "b": 52}, legend_traceorder="normal")
    figure.update_xaxes(title="energy a multiply-accumulate, everything but memories (fJ)")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def cells_map(summary: dict[str, Any]) -> go.Figure:
    """Energy of a multiply-accumulate against predicted damage of every characterised cell."""
    figure = go.Figure()
    for name, chosen, colour in (("characterised", False, "#9aa5b1"), ("searched", True, FRONT_COLOUR)):
        some = [c for c in summary["cells"] if (c["name"] in summary["search"]["cells"]) == chosen and c["damage"] > 0]
        figure.add_scatter(
            x=[c["inference_fj"] for c in some], y=[c["damage"] for c in some], mode="markers+text", name=name,
            text=[c["name"].replace("8s", "") for c in some], textposition="top center",
            textfont={"size": 10, "color": QUIET}, marker={"color": colour, "size": 9},
        )  # fmt: skip
    exact = next(c for c in summary["cells"] if c["damage"] == 0)
    figure.add_vline(
        x=exact["inference_fj"], line={"color": EXACT_COLOUR, "dash": "dot"}, annotation_text=exact["name"]
    )
    figure = style(figure, 420)
    figure.update_xaxes(title="energy a multiply-accumulate, everything but memories (fJ)")
    figure.update_yaxes(title="predicted rise of the loss, all layers", type="log", exponentformat="power")
    return figure
