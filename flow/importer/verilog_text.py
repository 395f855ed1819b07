"""Verilog sources before any tool reads them: size, includes, conditional text, and the units that they define.

The text is untrusted. It is only ever handed to Yosys as files of fixed names in a folder of their own, and the
words that enter a script, such as the name of the top module, are plain identifiers and numbers.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from slipstick.errors import UserError

from .verilog_lexer import LARGEST_SOURCE_MB, Token, read_text
from .verilog_lexer import tokens as tokens_of

NOT_PLAIN = "is no plain identifier: letters, digits, _ and $ only"
SYSTEM_FUNCTIONS = {"$signed", "$unsigned", "$clog2", "$bits"}
PREDEFINED = {"YOSYS", "SYNTHESIS"}
"""Macros that Yosys defines by itself."""
ENDS = {
    "module": "endmodule", "macromodule": "endmodule", "package": "endpackage", "interface": "endinterface",
    "program": "endprogram", "primitive": "endprimitive",
}  # fmt: skip
LOOK_AHEAD = 64  # elements within which an attribute ends
_LIFETIMES = {"automatic", "static"}
_CONDITIONS = {"`ifdef", "`ifndef", "`elsif", "`else", "`endif"}
_LINE = re.compile(r"(?:\\\n|[^\n])*")


@dataclass
class Unit:
    """A module, package or the like: its file, the ``words`` in it, names ``instantiated``, and its ``header``.

    ``faults`` are complaints that count only where the unit is part of the cell.
    """

    kind: str
    path: Path
    words: set[str] = field(default_factory=set)
    instantiated: set[str] = field(default_factory=set)
    header: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Span(NamedTuple):
    """A part of a file; ``unit`` is what it belongs to, ``keep`` whether any tool is to see it."""

    start: int
    end: int
    unit: str | None
    keep: bool


@dataclass
class Sources:
    """Read Verilog: ``roots`` are what to read, ``texts`` all files under the names they get, by order met.

    ``origins`` gives the user's file of each name, ``spans`` its parts; ``units`` are modules and the like by name.
    """

    texts: dict[str, str] = field(default_factory=dict)
    origins: dict[str, Path] = field(default_factory=dict)
    spans: dict[str, list[Span]] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)
    units: dict[str, Unit] = field(default_factory=dict)

    @property
    def modules(self) -> list[str]:
        """Names of all modules."""
        return [name for name, unit in self.units.items() if unit.kind in ("module", "macromodule")]


def load_sources(paths: Sequence[Path], defines: Sequence[str] = (), folders: Sequence[Path] = ()) -> Sources:
    """Read Verilog files and what they include; UserError names file, line and fix.

    ``defines`` are macros ``NAME`` or ``NAME=VALUE``; ``folders`` are searched for includes, after the file's own.
    """
    scan = _Scan(defines, folders)
    for path in paths:
        scan.sources.roots.append(scan.load(path, path.parent.resolve(), ()))
        scan.unit = None
    if not scan.sources.modules:
        raise UserError(f"{paths[0]} has no module")
    return scan.sources


class _Scan:
    """Reads files in order as a preprocessor does: conditions, macros and the unit at hand go on from file to file."""

    def __init__(self, defines: Sequence[str], folders: Sequence[Path]) -> None:
        self.sources, self.folders = Sources(), [folder.resolve() for folder in folders]
        self.macros: dict[str, list[Token]] = {name: [] for name in PREDEFINED}
        for define in defines:
            name, _, value = define.partition("=")
            self.macros[name] = list(tokens_of(value))
        self.unit: str | None = None
        self.depth = 0  # of modules in modules

    def load(self, path: Path, folder: Path, within: tuple[Path, ...]) -> str:
        """Load one file under a new name, includes first; returns the name."""
        real = path.resolve()
        if real in within:
            raise UserError(f"{path} includes itself")
        text = read_text(path)
        if sum(map(len, self.sources.texts.values())) + len(text) > LARGEST_SOURCE_MB << 20:
            raise UserError(f"the sources are larger than {LARGEST_SOURCE_MB} MB together, the limit for a cell")
        tokens = [*tokens_of(text), Token("end", "", 0, len(text)), Token("end", "", 0, len(text))]
        starts = [token.start for token in tokens]
        conditions: list[tuple[bool, bool]] = []  # of each open `ifdef: whether text counts now, and whether it has
        spans: list[Span] = []
        pieces: list[tuple[int, int, str]] = []  # include file names, replaced
        done, number = 0, 0
        while number < len(tokens) - 2:
            token, following = tokens[number], tokens[number + 1]
            where, active, before = f"{path}:{token.line}", all(now for now, _ in conditions), self.unit
            end, keep, number = token.end, active, number + 1
            if token.text in _CONDITIONS:
                end = self._condition(token, following, conditions, where)
                keep = False
            elif active and token.text in ("`define", "`undef"):
                match = _LINE.match(text, token.start)
                end = match.end() if match else token.end
                self._define(token, tokens[number : bisect_left(starts, end)], where)
                before = None  # a macro serves what follows, whatever it stands in
            elif active and token.text == "`include":
                if following.kind != "string":
                    raise UserError(f"{where}: `include needs a file name in quotes")
                target, inside = self._included(following.text[1:-1], path, folder, where)
                name = self.load(target, inside, (*within, real))
                pieces.append((following.start, following.end, f'"{name}"'))
                end = following.end
            elif active:
                previous = tokens[number - 2] if number > 1 else None
                end, before = self._take(token, previous, tokens[number : number + LOOK_AHEAD], path, where)
                keep = not (token.text in _LIFETIMES and previous and previous.text in ENDS)  # Yosys knows none
            while tokens[number].start < end:
                number += 1
            end = tokens[number].start
            owner = before if token.text in ("`define", "`undef") else self.unit or before
            if spans and (spans[-1].unit, spans[-1].keep) == (owner, keep):
                spans[-1] = spans[-1]._replace(end=end)
            else:
                spans.append(Span(done, end, owner, keep))
            done = end
        if conditions:
            raise UserError(f"{path}: an `ifdef has no `endif")
        name = f"source{len(self.sources.texts)}{'.sv' if path.suffix.lower() == '.sv' else '.v'}"
        self.sources.texts[name], self.sources.spans[name] = _replaced(text, spans, pieces)
        self.sources.origins[name] = path
        return name

    def _condition(self, token: Token, name: Token, conditions: list[tuple[bool, bool]], where: str) -> int:
        """Follow a conditional directive; returns where it ends."""
        if token.text in ("`ifdef", "`ifndef"):
            taken = (name.text in self.macros) == (token.text == "`ifdef")
            conditions.append((taken, taken))
            return name.end
        if not conditions:
            raise UserError(f"{where}: {token.text} without an `ifdef")
        _, had = conditions.pop()
        if token.text == "`endif":
            return token.end
        now = not had and (token.text == "`else" or name.text in self.macros)
        conditions.append((now, had or now))
        return token.end if token.text == "`else" else name.end

    def _define(self, token: Token, line: Sequence[Token], where: str) -> None:
        """Remember a macro, or forget it."""
        for one in line:
            if one.kind == "paste":
                raise UserError(f"{where}: token pasting with `` is not supported")
            if one.text == "`include":
                raise UserError(f"{where}: `include needs a file name in quotes, and no macro")
        if line and token.text == "`define":
            self.macros[line[0].text] = list(line[1:])
        elif line:
            self.macros.pop(line[0].text, None)

    def _take(
        self, token: Token, previous: Token | None, ahead: Sequence[Token], path: Path, where: str
    ) -> tuple[int, str | None]:
        """One element of text that counts; where it ends, with what belongs to it, and its unit if that has ended."""
        following = ahead[0]
        if token.kind == "paste":
            raise UserError(f"{where}: token pasting with `` is not supported")
        if token.kind == "word" and token.text == "import" and following.kind == "string":
            raise UserError(f"{where}: foreign function; a cell must be plain Verilog without import")
        if self.unit is None:
            if token.text == "(" and following.text == "*":
                return _attribute(token, ahead)
            if token.kind == "word" and token.text in ENDS:
                name = _named(ahead)
                if name.kind != "word":
                    raise UserError(f"{where}: module name {name.text[:40]!r} {NOT_PLAIN}")
                self.unit, self.depth = name.text, 1
                self.sources.units[name.text] = Unit(token.text, path)
            elif token.kind == "system" and token.text not in SYSTEM_FUNCTIONS:
                raise UserError(_system_task(token, where))
            return token.end, None
        unit, own = self.sources.units[self.unit], self.unit
        if token.text == ENDS[unit.kind] and token.kind == "word":
            self.depth -= 1
            self.unit = own if self.depth else None
            return ahead[1].end if following.text == ":" else token.end, own
        self.depth += token.kind == "word" and token.text == unit.kind
        if ";" not in unit.header:
            unit.header.append(token.text)
        self._note(unit, token, previous, following, where, ())
        return token.end, own

    def _note(
        self, unit: Unit, token: Token, previous: Token | None, following: Token, where: str, within: tuple[str, ...]
    ) -> None:
        """Words, instances and faults of a unit, those of the macros that it uses too."""
        if token.kind == "word":
            unit.words.add(token.text)
            if (following.kind in ("word", "escaped") or following.text == "#") and (
                previous is None or previous.text not in (":", ".", "`")
            ):
                unit.instantiated.add(token.text)
        elif token.kind == "system" and token.text not in SYSTEM_FUNCTIONS:
            unit.faults.append(_system_task(token, where))
        elif token.kind == "directive" and token.text[1:] in self.macros and token.text not in within:
            for one in self.macros[token.text[1:]]:
                self._note(unit, one, None, Token("word", "", 0, 0), where, (*within, token.text))

    def _included(self, name: str, path: Path, folder: Path, where: str) -> tuple[Path, Path]:
        """The file that an include means, and the folder that its own includes must not leave.

        It lies beside the including file and inside the first file's folder, or inside one of those given.
        """
        target = path.parent / name
        if target.is_file() and target.resolve().is_relative_to(folder):
            return target, folder
        for given in self.folders:
            if (given / name).is_file() and (given / name).resolve().is_relative_to(given):
                return given / name, given
        if not target.resolve().is_relative_to(folder):
            raise UserError(f"{where}: `include {name!r} lies outside {folder}; copy it there, or give a folder by -I")
        raise UserError(f"{where}: `include {name!r}: no such file beside {path.name}; give its folder by -I")


def _named(ahead: Sequence[Token]) -> Token:
    """The name behind the keyword of a unit."""
    return ahead[1] if ahead[0].text in _LIFETIMES else ahead[0]


def _attribute(token: Token, ahead: Sequence[Token]) -> tuple[int, str | None]:
    """Where ``(* ... *)`` ends, and the unit that it stands before."""
    for number, one in enumerate(ahead[:-3]):
        if number and one.text == "*" and ahead[number + 1].text == ")":
            unit = ahead[number + 2].text in ENDS
            return ahead[number + 1].end, _named(ahead[number + 3 :]).text if unit else None
    return token.end, None


def _system_task(token: Token, where: str) -> str:
    allowed = ", ".join(sorted(SYSTEM_FUNCTIONS))
    return f"{where}: system task {token.text[:40]!r}; a cell may use only {allowed}; leave it out by `ifdef"


def _replaced(text: str, spans: Sequence[Span], pieces: Sequence[tuple[int, int, str]]) -> tuple[str, list[Span]]:
    """The text with other pieces in it, and where its spans are then."""
    moved, parts, copied, shift = [], [], 0, 0
    waiting = list(pieces)
    for span in spans:
        start = span.start + shift
        while waiting and waiting[0][1] <= span.end:
            first, last, piece = waiting.pop(0)
            parts += [text[copied:first], piece]
            copied, shift = last, shift + len(piece) - (last - first)
        moved.append(span._replace(start=start, end=span.end + shift))
    return "".join([*parts, text[copied:]]), moved
