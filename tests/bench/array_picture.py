"""The picture of docs/array.md: one tile of the mesh, and what stands around it.

    python -m tests.bench.array_picture

rewrites docs/array.svg.
"""

from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).parents[2] / "docs" / "array.svg"
ROWS, COLUMNS = 4, 3
CELL, GAP, LEFT, TOP = 96, 14, 250, 96
BLUE, GREEN, ORANGE, PURPLE, PINK, INK = "#2186eb", "#17b897", "#f0b429", "#8662c7", "#da127d", "#1f2933"


def box(x: float, y: float, width: float, height: float, text: str, colour: str) -> str:
    """A rounded box with one line of text."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" fill="{colour}" fill-opacity="0.16" '
        f'stroke="{colour}"/><text x="{x + width / 2:g}" y="{y + height / 2 + 4:g}" text-anchor="middle">'
        f"{escape(text)}</text>"
    )


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """A line with a head."""
    return f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{INK}" marker-end="url(#head)"/>'


def note(x: float, y: float, text: str, anchor: str = "start") -> str:
    """Plain text."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def draw() -> str:
    """The picture as SVG."""
    parts: list[str] = []
    step = CELL + GAP
    bottom = TOP + ROWS * 44
    for row in range(ROWS):
        y = TOP + row * 44
        parts += [
            note(8, y + 21, f"a{row}"), arrow(28, y + 17, 44, y + 17), box(46, y, 74, 34, "encoder", ORANGE),
            arrow(120, y + 17, 138, y + 17), box(140, y, 74, 34, "register", GREEN),
            arrow(214, y + 17, LEFT + COLUMNS * step + 26, y + 17),
        ]  # fmt: skip
        for column in range(COLUMNS):
            x = LEFT + column * step
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL}" height="34" fill="white"/>')
            parts.append(box(x, y, CELL, 34, "product", BLUE))
    middle = LEFT + (COLUMNS * step - GAP) / 2
    parts.append(note(middle, TOP - 66, "weights, encoded: two banks a row,", "middle"))
    parts.append(note(middle, TOP - 50, "one works while the other loads", "middle"))
    for column in range(COLUMNS):
        x = LEFT + column * step
        centre = x + CELL / 2
        parts += [
            arrow(centre, TOP - 42, centre, TOP), arrow(centre, bottom - 10, centre, bottom + 12),
            box(x, bottom + 14, CELL, 40, "adder tree", BLUE), arrow(centre, bottom + 54, centre, bottom + 70),
            box(x, bottom + 72, CELL, 34, "register", GREEN), arrow(centre, bottom + 106, centre, bottom + 150),
            box(x, bottom + 152, CELL, 34, "accumulators", PURPLE), box(x, bottom + 196, CELL, 34, "requantiser", PINK),
        ]  # fmt: skip
    right = LEFT + COLUMNS * step + 32
    told = (
        (8, bottom + 30, "the word from above, of a tile,"), (8, bottom + 46, "an accumulator or the bias,"),
        (8, bottom + 62, "is one more row of the tree"),
        (right, TOP - 4, f"one tile: {ROWS} x {COLUMNS} products,"),
        (right, TOP + 12, "no register inside"),
        (right, TOP + 60, "to the next tile,"), (right, TOP + 76, "a cycle later"),
        (right, bottom + 94, "to the tile below"), (right, bottom + 166, "stored, or, from the last"),
        (right, bottom + 182, "tile of the reduction,"), (right, bottom + 198, "straight to the requantiser"),
    )  # fmt: skip
    parts.append(
        f'<rect x="{LEFT - 10}" y="{TOP - 14}" width="{COLUMNS * step + 6}" height="{ROWS * 44 + 136}" fill="none" '
        f'stroke="{INK}" stroke-dasharray="5 4"/>'
    )
    parts += [note(*one) for one in told]
    width, height = right + 190, bottom + 246
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12.5" fill="{INK}"><defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>'
        f'<rect width="{width}" height="{height}" fill="white"/>' + "\n".join(parts) + "</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw())
