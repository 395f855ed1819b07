"""Boolean expressions of Liberty files, parsed into trees and evaluated on any ``& | ^ ~`` values.

Liberty writes AND as ``&``, ``*`` or juxtaposition, OR as ``|`` or ``+``, NOT as ``!`` or a postfix
``'``; binding falls in the order NOT, XOR, AND, OR. The text comes from a user's file, so it is
parsed, never executed.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from slipstick.errors import UserError

NOT, XOR, AND, OR, PIN, CONSTANT = "not", "xor", "and", "or", "pin", "constant"
_MOST_NESTED = 150  # each takes a few calls within each other
_TOKEN = re.compile(r"""\s*(?:(?P<name>[A-Za-z_][\w\[\]]*)|(?P<constant>[01])|(?P<mark>[!&*|+^()']))""")


@dataclass(frozen=True)
class Expression:
    """A node: ``kind`` with its ``operands``; ``name`` of a pin, ``value`` of a constant."""

    kind: str
    operands: tuple["Expression", ...] = ()
    name: str = ""
    value: int = 0

    def pins(self) -> tuple[str, ...]:
        """Names of the pins in order of first appearance."""
        return tuple(dict.fromkeys(self._pins()))

    def _pins(self) -> Iterator[str]:
        if self.kind == PIN:
            yield self.name
        for operand in self.operands:
            yield from operand._pins()

    def evaluate(self, values: Mapping[str, Any], ones: Any) -> Any:
        """Value over the pins' ``values`` (packed words or integers); ``ones`` has every bit set."""
        if self.kind == PIN:
            return values[self.name]
        if self.kind == CONSTANT:
            return ones if self.value else ones ^ ones
        parts = [operand.evaluate(values, ones) for operand in self.operands]
        if self.kind == NOT:
            return parts[0] ^ ones
        if self.kind == AND:
            return parts[0] & parts[1]
        return parts[0] | parts[1] if self.kind == OR else parts[0] ^ parts[1]

    def substitute(self, name: str, value: "Expression") -> "Expression":
        """The expression with ``value`` in place of a pin."""
        if self.kind == PIN:
            return value if self.name == name else self
        return Expression(self.kind, tuple(one.substitute(name, value) for one in self.operands), value=self.value)

    def probability(self, ones: Mapping[str, np.ndarray]) -> np.ndarray | float:
        """Probability of being 1 where pins are 1 with probabilities ``ones`` [n], independently."""
        pins = self.pins()
        total: np.ndarray | float = 0.0
        for bits in itertools.product((0, 1), repeat=len(pins)):
            if self.evaluate(dict(zip(pins, bits, strict=True)), 1):
                term: np.ndarray | float = 1.0
                for name, bit in zip(pins, bits, strict=True):
                    term = term * (ones[name] if bit else 1.0 - ones[name])
                total = total + term
        return total


class Plan:
    """Several expressions evaluated together, every shared part once."""

    def __init__(self, expressions: Iterable[Expression]) -> None:
        self._slots: dict[Expression, int] = {}
        self._steps: list[tuple[str, int, int, str]] = []  # (kind, left or constant, right, pin)
        self._results = [self._place(one) for one in expressions]

    def _place(self, expression: Expression) -> int:
        if expression not in self._slots:
            left, right = ([self._place(one) for one in expression.operands] + [0, 0])[:2]
            left = expression.value if expression.kind == CONSTANT else left
            self._steps.append((expression.kind, left, right, expression.name))
            self._slots[expression] = len(self._steps) - 1
        return self._slots[expression]

    def run(self, values: Mapping[str, Any], ones: Any) -> list[Any]:
        """Value of every expression, as ``Expression.evaluate`` gives it."""
        slots: list[Any] = []
        for kind, left, right, name in self._steps:
            if kind == PIN:
                slots.append(values[name])
            elif kind == AND:
                slots.append(slots[left] & slots[right])
            elif kind == NOT:
                slots.append(slots[left] ^ ones)
            elif kind == OR:
                slots.append(slots[left] | slots[right])
            elif kind == XOR:
                slots.append(slots[left] ^ slots[right])
            else:
                slots.append(ones if left else ones ^ ones)
        return [slots[index] for index in self._results]


def pin(name: str) -> Expression:
    """The expression of one pin."""
    return Expression(PIN, name=name)


@cache
def parse(text: str) -> Expression:
    """Expression of a Liberty ``function`` or ``when`` text; UserError where it cannot be read."""
    tokens = _tokens(text)
    if sum(map(tokens.count, "(!")) > _MOST_NESTED:
        raise UserError(f"cannot read the Liberty expression {text[:30]!r}...: too many brackets")
    expression, rest = _chain(tokens, 0, OR)
    if rest != len(tokens):
        raise UserError(f"cannot read the Liberty expression {text!r}: unexpected {tokens[rest]!r}")
    return expression


def _tokens(text: str) -> list[str]:
    tokens, position, text = [], 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise UserError(f"cannot read the Liberty expression {text!r} from {text[position:]!r} on")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


_LOOSER = {OR: ("|+", AND), AND: ("&*", XOR), XOR: ("^", NOT)}


def _chain(tokens: list[str], position: int, kind: str) -> tuple[Expression, int]:
    """A chain of one binary operator, its operands bound more tightly."""
    if kind == NOT:
        return _unary(tokens, position)
    marks, tighter = _LOOSER[kind]
    left, position = _chain(tokens, position, tighter)
    while position < len(tokens):
        if tokens[position] in marks:
            right, position = _chain(tokens, position + 1, tighter)
        elif kind == AND and tokens[position] not in "|+^)'&*":  # juxtaposition
            right, position = _chain(tokens, position, tighter)
        else:
            break
        left = Expression(kind, (left, right))
    return left, position


def _unary(tokens: list[str], position: int) -> tuple[Expression, int]:
    if position >= len(tokens):
        raise UserError(f"the Liberty expression {' '.join(tokens)!r} ends too early")
    token = tokens[position]
    if token == "!":
        operand, position = _unary(tokens, position + 1)
        return Expression(NOT, (operand,)), position
    if token == "(":
        result, position = _chain(tokens, position + 1, OR)
        if position >= len(tokens) or tokens[position] != ")":
            raise UserError(f"the Liberty expression {' '.join(tokens)!r} lacks a closing bracket")
    elif token in "01":
        result = Expression(CONSTANT, value=int(token))
    elif token[0].isalpha() or token[0] == "_":
        result = pin(token)
    else:
        raise UserError(f"the Liberty expression {' '.join(tokens)!r} has an unexpected {token!r}")
    position += 1
    while position < len(tokens) and tokens[position] == "'":
        result, position = Expression(NOT, (result,)), position + 1
    return result, position
