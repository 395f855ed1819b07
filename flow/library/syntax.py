"""Liberty text as a tree of groups and attributes, and back to text: no meaning, only structure.

Read as other readers do: comments of three kinds, strings continued by a backslash, attributes without a semicolon.
What is written has one spelling of each that all of them take.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite

from slipstick.errors import UserError

CONTINUED = "\v"
"""Stands in the texts of a tree where a line was continued."""
_DEEPEST = 50
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_LEXEME = re.compile(rf"(?P<string>{_STRING})|(?P<comment>/\*.*?\*/)|(?P<line>//[^\n]*|^[ \t]*\#[^\n]*)", re.S | re.M)
_COMMENT = re.compile(r"\s*+(?:(?P<block>/\*.*?\*/)|(?://|\#)(?P<line>[^\n]*))", re.S)
_STATEMENT = re.compile(
    rf"""\s*+(?:(?P<close>\}})
         |(?P<name>[\w.\-]+)\s*+(?:\((?P<arguments>(?:[^()"]++|{_STRING})*+)\)\s*+(?P<end>[{{;]?)
                                  |:\s*+(?:(?P<quoted>{_STRING})\s*+(?P<quoted_end>;?)
                                         |(?P<plain>(?:[^;\n{{}}":\[/]|/(?!\*)|\[[^\]\n]*+\])*?)
                                          \s*(?:(?P<plain_end>;)|(?=[\n}}])|(?<=\s)(?=[A-Za-z_]\w*\s*:))))
         |(?P<empty>;))""",
    re.X | re.S,
)


@dataclass
class Attribute:
    """``name : text ;`` or, where ``is_call``, ``name (text) ;``; ``text`` is as written, comments aside."""

    name: str
    text: str
    is_call: bool


@dataclass
class Group:
    """``kind (arguments) { items }``."""

    kind: str
    arguments: str
    items: list["Attribute | Group"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The arguments without quotes."""
        return self.arguments.strip().strip('"').strip()

    def groups(self, *kinds: str) -> Iterator["Group"]:
        """Direct subgroups of these kinds."""
        return (item for item in self.items if isinstance(item, Group) and item.kind in kinds)

    def get(self, name: str) -> str | None:
        """Text of an attribute without its quotes; None where it is absent."""
        for item in self.items:
            if isinstance(item, Attribute) and item.name == name:
                return item.text.replace(CONTINUED, " ").strip().strip('"').strip()
        return None

    def number(self, name: str, default: float = 0.0) -> float:
        """Number in an attribute; UserError where it is not one."""
        text = self.get(name)
        try:
            return default if text is None else number(text)
        except ValueError:
            raise UserError(f"{self.kind} {self.name!r} has {name} {text!r}, which is not a number") from None


def number(text: str) -> float:
    """A finite decimal number; ValueError for any other text."""
    value = float(text)
    if not isfinite(value) or "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return value


def numbers(text: str) -> list[float]:
    """Numbers of an ``index`` or ``values`` text, quotes and commas aside; ValueError for another."""
    return [number(word) for word in re.sub(r'[",\\]', " ", text).split()]


def read(text: str, name: str) -> Group:
    """The ``library`` group of a Liberty text; UserError names the file and the line that is wrong."""
    return read_plain(text, name)[0]


def read_plain(text: str, name: str) -> tuple[Group, bool]:
    """``read``, and whether the text is in the spelling that every reader takes, as ``write_plain`` gives it."""
    bare, is_plain = _without_comments(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    is_plain &= "\r" not in text and not text.startswith("\ufeff")
    root = Group("", "")
    stack, position, end = [root], 0, len(bare.rstrip())
    while position < end:
        match = _STATEMENT.match(bare, position)
        if not match:
            raise _fault(name, bare, position, "cannot be read")
        if match["close"]:
            if len(stack) == 1:
                raise _fault(name, bare, position, "closes a group that is not open")
            stack.pop()
        elif match["arguments"] is not None and match["end"] == "{":
            group = Group(match["name"], match["arguments"].strip())
            stack[-1].items.append(group)
            stack.append(group)
            if len(stack) > _DEEPEST:
                raise _fault(name, bare, position, "opens too many groups within each other")
        elif match["name"]:
            is_call = match["arguments"] is not None
            value = match["arguments"] or match["quoted"] or match["plain"] or ""
            is_plain &= bool(match["end"] or match["quoted_end"] or match["plain_end"])
            stack[-1].items.append(Attribute(match["name"], value.strip(), is_call))
        if len(stack) == 1 and not (root.items and isinstance(root.items[0], Group)):
            raise _fault(name, bare, position, "stands where 'library (...) {' should")
        position = match.end()
    libraries = list(root.groups("library"))
    if len(stack) > 1 or not libraries:
        raise UserError(
            f"{name} is not a whole Liberty file: "
            + (f"{stack[-1].kind} ({stack[-1].name}) is never closed" if len(stack) > 1 else "it has no library group")
        )
    return libraries[0], is_plain


def _without_comments(text: str) -> tuple[str, bool]:
    """The text without comments, lines kept, every continuation one mark; and whether all of it was plain."""
    is_plain = True

    def bare(match: re.Match[str]) -> str:
        nonlocal is_plain
        found = match[0]
        if match["string"]:
            if "\n" in found or "/" in found or "\\" in found:
                is_plain &= not re.search(r"(?<!\\)\n|/\*|//|\\[^\n]", found)
                found = found.replace("\\\n", CONTINUED).replace("\n", CONTINUED)
            return found
        is_plain &= match["line"] is None
        return "\n" * found.count("\n") or " "

    found = _LEXEME.sub(bare, text)
    return re.sub(r"\\[ \t]*\n", CONTINUED, found), is_plain


def _fault(name: str, text: str, position: int, problem: str) -> UserError:
    position += len(text[position:]) - len(text[position:].lstrip())
    line = len(re.findall(rf"[\n{CONTINUED}]", text[:position])) + 1
    shown = text[position : position + 30].replace(CONTINUED, "\n")
    return UserError(f"{name} is not a Liberty file: line {line}, {shown!r}, {problem}")


def header(text: str) -> str:
    """The comments before the library, which hold its licence, as comments of one kind; empty where there are none."""
    found, position, text = [], 0, text.removeprefix("\ufeff").replace("\r\n", "\n")
    while match := _COMMENT.match(text, position):
        lines = match["line"].replace("*/", "* /") if match["line"] is not None else ""
        found.append(f"/*{lines} */" if match["line"] is not None else match["block"])
        position = match.end()
    return "".join(f"{one}\n" for one in found)


def write(group: Group, depth: int = 0) -> str:
    """Liberty text of a group, one statement a line; ``read`` gives the same tree again."""
    margin = " " * depth
    lines = [f"{margin}{group.kind} ({_line(group.arguments)}) {{\n"]
    for item in group.items:
        if isinstance(item, Group):
            lines.append(write(item, depth + 1))
        elif item.is_call:
            lines.append(f"{margin} {item.name} ({_line(item.text)});\n")
        else:
            lines.append(f"{margin} {item.name} : {_line(item.text)};\n")
    return "".join([*lines, f"{margin}}}\n"])


def write_plain(group: Group) -> str:
    """``write`` for tools that see comments in strings, and the end of one in an escaped quote (Yosys, ABC)."""
    return re.sub(r"/(?=[*/])", "/ ", re.sub(r"\\[^\n]", "", write(group)))


def _line(text: str) -> str:
    return text.replace(CONTINUED, "\\\n")
