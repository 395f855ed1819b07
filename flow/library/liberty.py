"""The part of a Liberty library that area, delay and power need, in the units of ``cell``."""

import gzip
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from slipstick.errors import Notice, UnknownName, UserError
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .cell import LibertyCell, cell_of
from .reader import library_model, usable
from .syntax import header, read_plain, write_plain

DEFAULT_LIBERTY = Path(__file__).parent / "assets" / "sg13g2_typ_slim.lib.gz"


@dataclass(frozen=True)
class Liberty:
    """A library: ``cells`` by name, nominal ``voltage_v``, its ``text`` for the tools that read it.

    ``left_out`` are cells that cannot be used, with the reason, ``notes`` what else the user should know; the text is
    without the former, and in a spelling that all tools take.
    """

    name: str
    voltage_v: float
    temperature_c: float
    cells: dict[str, LibertyCell]
    text: str = field(repr=False, compare=False)
    digest: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.digest)

    def cell(self, name: str) -> LibertyCell:
        """The cell of this name; UnknownName shows near names."""
        if name not in self.cells:
            raise UnknownName(f"cell of library {self.name}", name, self.cells)
        return self.cells[name]

    @cached_property
    def buffers(self) -> tuple[LibertyCell, ...]:
        """Buffers that may be used, the smallest first."""
        found = [
            cell
            for cell in self.cells.values()
            if cell.is_combinational and not cell.dont_use and len(cell.inputs) == len(cell.outputs) == 1
            and (cell.outputs[0].function or "").strip(" ()") == cell.inputs[0].name
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda cell: (cell.area_um2, cell.name)))

    @property
    def driving_cell(self) -> str | None:
        """The second smallest buffer, which stands for whatever drives a module's inputs; None without buffers."""
        return self.buffers[min(1, len(self.buffers) - 1)].name if self.buffers else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what was left out or taken for granted."""
        said = [f"library {self.name} {note}" for note in self.notes]
        if self.left_out:
            first = "; ".join(f"{name} ({reason})" for name, reason in self.left_out[:3])
            more = f"; and {len(self.left_out) - 3} more" if len(self.left_out) > 3 else ""
            said.append(f"library {self.name}: {len(self.left_out)} cells are left out: {first}{more}")
        return tuple(said)

    def describe(self) -> str:
        """Corner in words, such as ``sg13g2_stdcell_typ_1p20V_25C (1.2 V, 25 C)``."""
        return f"{self.name} ({self.voltage_v:g} V, {self.temperature_c:g} C)"


def read_text(path: Path | str) -> str:
    """Text of a Liberty file, gzipped or not, in UTF-8, UTF-16 or Latin-1; UserError names the file and the problem."""
    path = Path(path)
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    for encoding in ("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "latin-1"):
        with suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            if "\0" not in text and (encoding != "latin-1" or "library" in text):  # Latin-1 makes text of anything
                return text
    raise UserError(f"{path} is not a Liberty file: it holds no text")


def load_liberty(path: Path | str) -> Liberty:
    """Library of a file, plain or gzip; the parsed model is kept in the cache under the file's hash."""
    return parse_liberty(read_text(path), str(path))


@cache
def default_liberty() -> Liberty:
    """The shipped library: IHP SG13G2 standard cells, typical corner, 1.2 V, 25 C."""
    return load_liberty(DEFAULT_LIBERTY)


def parse_liberty(text: str, name: str = "Liberty text", store: Store | None = None) -> Liberty:
    """Library of a Liberty text; ``name`` is for messages. A ``Notice`` tells, once, what is wrong with it."""
    key = digest(text, code_digest(__name__))
    model = (store or Store("liberty")).json(key, lambda: _model(text, name))
    cells = {cell["name"]: cell_of(cell) for cell in model["cells"]}
    left_out = tuple((cell, reason) for cell, reason in model["left_out"])
    liberty = Liberty(
        model["name"], model["voltage_v"], model["temperature_c"], cells, model["text"] or text, digest(text),
        left_out, tuple(model["notes"]),
    )  # fmt: skip
    for warning in liberty.warnings:
        if (liberty.digest, warning) not in _told:
            _told.add((liberty.digest, warning))
            warnings.warn(f"{name}: {warning}", Notice, stacklevel=2)
    return liberty


_told: set[tuple[str, str]] = set()


def _model(text: str, name: str) -> dict[str, Any]:
    """The JSON model of a text; its own ``text`` where other tools need another one."""
    tree, is_plain = read_plain(text, name)
    model = library_model(tree, name)
    needs_text = model["left_out"] or not is_plain
    return model | {"text": header(text) + write_plain(usable(tree, model)) if needs_text else None}
