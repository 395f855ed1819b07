"""Leakage of a cell in every state, summed over its supplies.

A library states it by state (``when``) and supply in groups of its own, whose conditions are compared as Boolean
functions: ``A & !B`` and ``!B & A`` are one state. A group without ``when`` is what its supply leaks in the states
that its others leave; a group without supply is of the whole cell, as ``cell_leakage_power`` is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from slipstick.errors import UserError

from .boolean import parse

_MOST_PINS = 16


@dataclass
class _Supply:
    """What one supply leaks: in states, as (when, truth table, value), and in those that these leave."""

    states: list[tuple[str, int, float]] = field(default_factory=list)
    rest: float | None = None

    @property
    def taken(self) -> int:
        """Truth table of all states."""
        taken = 0
        for _, holds, _ in self.states:
            taken |= holds
        return taken

    def left(self, every: int) -> tuple[str, int, float | None]:
        """The states that these leave."""
        others = " | ".join(f"({when})" for when, _, _ in self.states)
        return f"!({others})" if others else "", every & ~self.taken, self.rest


@dataclass(frozen=True)
class Leakage:
    """Leakage by disjoint states (when, value) and in those that these leave; whether states overlapped in the file.

    ``rest`` is None where the file says nothing of it.
    """

    states: list[tuple[str, float]]
    rest: float | None
    overlaps: bool


def leakage(groups: Sequence[tuple[str | None, str, float]], whole: float | None) -> Leakage:
    """From (when, supply, value) groups and ``cell_leakage_power``, which stands for states that some supply leaves.

    Where states of one supply overlap, the one that stands first in the file counts. UserError for a ``when`` that
    cannot be read.
    """
    pins = list(dict.fromkeys(name for when, _, _ in groups if when for name in parse(when).pins()))
    if len(pins) > _MOST_PINS:
        raise UserError(f"leakage_power by the states of {len(pins)} pins is not supported")
    every = (1 << (1 << len(pins))) - 1
    columns = {name: _column(place, len(pins)) for place, name in enumerate(pins)}
    supplies: dict[str, _Supply] = {"": _Supply()}
    overlaps = False
    for when, name, value in groups:
        supply = supplies.setdefault(name, _Supply())
        if not when:
            supply.rest = value if supply.rest is None else supply.rest
            continue
        holds = parse(when).evaluate(columns, every)
        before = [other for other, taken, _ in supply.states if taken & holds]
        overlaps |= bool(before)
        if free := holds & ~supply.taken:
            text = f"({when}) & !({' | '.join(f'({other})' for other in before)})" if before else when
            supply.states.append((text, free, value))
    cell = supplies.pop("")
    whole = cell.rest if whole is None else whole
    states = [(when, value) for when, _, value in cell.states]
    states += _regions(supplies.values(), cell.left(every)[:2], every, whole)
    stated = [one.rest for one in supplies.values() if one.rest is not None]
    return Leakage(states, whole if whole is not None else sum(stated) if stated else None, overlaps)


def _column(place: int, count: int) -> int:
    """Truth table of one of ``count`` pins: bit m is the pin's value in state m."""
    pattern, width = ((1 << (1 << place)) - 1) << (1 << place), 1 << (place + 1)
    while width < 1 << count:
        pattern |= pattern << width
        width *= 2
    return pattern


def _regions(
    supplies: Iterable[_Supply], free: tuple[str, int], every: int, whole: float | None
) -> list[tuple[str, float]]:
    """States among those ``free`` in which some supply has one of its own, with what all supplies leak there."""
    found: list[tuple[list[tuple[str, int]], int, list[float | None], bool]] = [([free], free[1], [], False)]
    for supply in supplies:
        own = {when for when, _, _ in supply.states}
        found = [
            ([*parts, (when, mine)], holds & mine, [*values, value], some or when in own)
            for parts, holds, values, some in found
            for when, mine, value in (*supply.states, supply.left(every))
            if holds & mine
        ]
    return [(_text(parts, holds), _total(values, whole)) for parts, holds, values, some in found if some]


def _text(parts: Sequence[tuple[str, int]], holds: int) -> str:
    """A condition for the states ``holds``, in the words of the file where one of its conditions says just that."""
    same = (when for when, mine in parts if when and mine == holds)
    return next(same, " & ".join(f"({when})" for when, _ in parts if when))


def _total(values: Sequence[float | None], whole: float | None) -> float:
    known = [value for value in values if value is not None]
    return whole if whole is not None and len(known) < len(values) else sum(known)
