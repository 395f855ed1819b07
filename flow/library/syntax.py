"""Liberty text as a tree of groups and attributes, and back to text: no meaning, only structure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from slipstick.errors import UserError

_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_STATEMENT = re.compile(
    r"""\s*(?:(?P<close>\})
         |(?P<name>[\w.\-]+)\s*(?:\((?P<arguments>(?:[^()"]|"[^"]*")*)\)\s*(?P<end>[{;]?)
                               |:\s*(?P<value>"[^"]*"|[^;\n{}]*?)\s*(?:;|(?=[\n}])))
         |(?P<empty>;))""",
    re.X,
)


@dataclass
class Attribute:
    """``name : text ;`` or, where ``is_call``, ``name (text) ;``; ``text`` is as written."""

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
        return self.arguments.strip().strip('"')

    def groups(self, *kinds: str) -> Iterator["Group"]:
        """Direct subgroups of these kinds."""
        return (item for item in self.items if isinstance(item, Group) and item.kind in kinds)

    def get(self, name: str) -> str | None:
        """Text of an attribute without its quotes; None where it is absent."""
        for item in self.items:
            if isinstance(item, Attribute) and item.name == name:
                return item.text.strip().strip('"').strip()
        return None

    def number(self, name: str, default: float = 0.0) -> float:
        """Number in an attribute; UserError where it is not one."""
        text = self.get(name)
        try:
            return default if text is None else float(text)
        except ValueError:
            raise UserError(f"{self.kind} {self.name!r} has {name} {text!r}, which is not a number") from None


def numbers(text: str) -> list[float]:
    """Numbers of an ``index`` or ``values`` text, quotes, commas and continuation marks aside."""
    return [float(word) for word in re.sub(r'[",\\]', " ", text).split()]


def read(text: str, name: str) -> Group:
    """The ``library`` group of a Liberty text; UserError names the file and the line that is wrong."""
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text).replace("\\\n", " \n")
    root = Group("", "")
    stack, position, end = [root], 0, len(text.rstrip())
    while position < end:
        match = _STATEMENT.match(text, position)
        if not match:
            raise _fault(name, text, position, "cannot be read")
        if match["close"]:
            if len(stack) == 1:
                raise _fault(name, text, position, "closes a group that is not open")
            stack.pop()
        elif match["arguments"] is not None and match["end"] == "{":
            group = Group(match["name"], match["arguments"])
            stack[-1].items.append(group)
            stack.append(group)
        elif match["name"]:
            is_call = match["arguments"] is not None
            stack[-1].items.append(Attribute(match["name"], match["arguments" if is_call else "value"], is_call))
        if len(stack) == 1 and not (root.items and isinstance(root.items[0], Group)):
            raise _fault(name, text, position, "stands where 'library (...) {' should")
        position = match.end()
    libraries = list(root.groups("library"))
    if len(stack) > 1 or not libraries:
        raise UserError(
            f"{name} is not a whole Liberty file: "
            + (f"{stack[-1].kind} ({stack[-1].name}) is never closed" if len(stack) > 1 else "it has no library group")
        )
    return libraries[0]


def _fault(name: str, text: str, position: int, problem: str) -> UserError:
    position += len(text[position:]) - len(text[position:].lstrip())
    line = text.count("\n", 0, position) + 1
    return UserError(f"{name} is not a Liberty file: line {line}, {text[position : position + 30]!r}, {problem}")


def write(group: Group, depth: int = 0) -> str:
    """Liberty text of a group, one statement a line."""
    margin = " " * depth
    lines = [f"{margin}{group.kind} ({group.arguments}) {{\n"]
    for item in group.items:
        if isinstance(item, Group):
            lines.append(write(item, depth + 1))
        elif item.is_call:
            lines.append(f"{margin} {item.name} ({item.text});\n")
        else:
            lines.append(f"{margin} {item.name} : {item.text};\n")
    return "".join([*lines, f"{margin}}}\n"])
