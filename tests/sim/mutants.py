"""Mutants of emitted Verilog: one gate, multiplexer, arithmetic operator or register changed.

All mutants of a design stand in one text, each behind the number of a plus argument (``+mutant=3``), so that one
simulator plays them all.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

CHANGED = {
    "&": "|", "|": "&", "^": "&", "+": "-", "-": "+", "*": "+", "==": "!=", "!=": "==", "<": ">=", ">": "<=",
    ">=": "<", "<=": ">", ">>": "<<",
}  # fmt: skip
_OPERAND = r"(?:\$signed\((?:[^()]|\{[^{}]*\})*\)|\{(?:[^{}]|\{[^{}]*\})*\}|[\w\[\]:.']+)"
_ASSIGN = re.compile(r"  assign (?P<target>[\w\[\]:]+) = (?P<value>.*);")
_BINARY = re.compile(rf"(?P<x>{_OPERAND}) (?P<operator>[-&|^+*<>=!]+) (?P<y>{_OPERAND})")
_UNARY = re.compile(rf"[~!] (?P<x>{_OPERAND})")
_CHOICE = re.compile(rf"(?P<condition>{_OPERAND}) \? (?P<x>{_OPERAND}) : (?P<y>{_OPERAND})")
_LOAD = re.compile(r"    +(?P<target>[\w\[\]]+) <= (?P<value>.*);")
_ENABLE = re.compile(r"    if \((?P<value>.*)\)(?P<rest>.*)")


@dataclass(frozen=True)
class Mutant:
    """What replaces ``value`` in a line of a module."""

    module: str
    line: int
    value: str
    mutated: str

    def __str__(self) -> str:
        return f"{self.module}, line {self.line + 1}: {self.value} -> {self.mutated}"


def mutants(verilog: str) -> Iterator[Mutant]:
    """Every mutant of a text, module by module."""
    module = ""
    for number, line in enumerate(verilog.splitlines()):
        if line.startswith("module "):
            module = line.split()[1]
        if assign := _ASSIGN.fullmatch(line):
            if mutated := _mutated(assign["value"]):
                yield Mutant(module, number, assign["value"], mutated)
        elif load := _LOAD.fullmatch(line):
            if "memory" not in line:
                yield Mutant(module, number, load["value"], load["target"])  # never loads
        elif enable := _ENABLE.fullmatch(line):
            yield Mutant(module, number, enable["value"], f"!({enable['value']})")


def _mutated(value: str) -> str:
    """A gate, an operator or a multiplexer changed; "" for wires."""
    if two := _BINARY.fullmatch(value):
        operator = CHANGED.get(two["operator"])
        return f"{two['x']} {operator} {two['y']}" if operator else ""
    if one := _UNARY.fullmatch(value):
        return one["x"]
    if choice := _CHOICE.fullmatch(value):
        return f"{choice['condition']} ? {choice['y']} : {choice['x']}"
    return ""


def spread(found: Sequence[Mutant], count: int, rng: np.random.Generator) -> list[Mutant]:
    """At most ``count``, from all modules in turn, at random within each."""
    waiting: dict[str, list[Mutant]] = defaultdict(list)
    for index in rng.permutation(len(found)):
        waiting[found[index].module].append(found[index])
    chosen: list[Mutant] = []
    while len(chosen) < min(count, len(found)):
        chosen += [group.pop() for group in waiting.values() if group]
    return chosen[:count]


def with_mutants(verilog: str, chosen: Sequence[Mutant]) -> str:
    """The text in which ``+mutant=N`` makes the N-th of these the design; 0, or nothing, the design itself."""
    lines = verilog.splitlines()
    for number, mutant in enumerate(chosen, 1):
        line, value = lines[mutant.line], mutant.value
        start = line.index(value, line.index("(") + 1 if line.lstrip().startswith("if") else line.index("=") + 1)
        both = f"((chosen_mutant == {number}) ? ({mutant.mutated}) : ({value}))"
        lines[mutant.line] = line[:start] + both + line[start + len(value) :]
    changed = {mutant.module for mutant in chosen}
    module = ""
    for index, line in enumerate(lines):
        if line.startswith("module "):
            module = line.split()[1]
        if line == ");" and module in changed:
            lines[index] += (
                '\n  integer chosen_mutant;\n  initial if (!$value$plusargs("mutant=%d", chosen_mutant)) '
                "chosen_mutant = 0;"
            )
            module = ""
    return "\n".join(lines) + "\n"
