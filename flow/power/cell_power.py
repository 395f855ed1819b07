"""Internal and leakage energy of all instances of one library cell under an activity."""

import enum
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.boolean import AND, CONSTANT, NOT, OR, XOR, Expression, Plan, parse, pin
from slipstick.flow.library.cell import InternalPower, LibertyCell, Pin, Table

from .activity import Activity
from .annotation import Annotation
from .gates import Instance
from .timing import Timing

_ALWAYS = Expression(CONSTANT, value=1)


class Rule(enum.Enum):
    """How probabilities of states of several pins are found."""

    JOINT = "joint states"
    INDEPENDENT = "independent pins (OpenSTA)"


class Energy(NamedTuple):
    """Energy in fJ, split."""

    internal_fj: float
    switching_fj: float
    leakage_fj: float

    @property
    def total_fj(self) -> float:
        """Sum of the shares."""
        return self.internal_fj + self.switching_fj + self.leakage_fj

    def scaled(self, factor: float) -> "Energy":
        """Every share times ``factor``."""
        return Energy(*(factor * share for share in self))

    def plus(self, *others: "Energy") -> "Energy":
        """Sum, share by share."""
        return Energy(*map(sum, zip(self, *others, strict=True)))


NO_ENERGY = Energy(0.0, 0.0, 0.0)


class _InputArc(NamedTuple):
    when: int
    pin: str
    energy: np.ndarray  # [instances]


class _OutputArc(NamedTuple):
    pin: str
    supply: str
    related: str | None
    follows: int
    energy: np.ndarray  # [instances]


class CellGroup:
    """All instances of one cell with the same pins connected: arrays over [instances]."""

    def __init__(self, members: list[Instance], timing: Timing, rule: Rule) -> None:
        self.cell: LibertyCell = members[0].cell
        self.rule = rule
        self.names = [one.name for one in members]
        self.nets = {name: np.array([one.nets[name] for one in members]) for name in members[0].nets}
        driven = [self.nets[p.name] for p in self.cell.outputs if p.name in self.nets]
        self.driven_nets = np.concatenate([np.empty(0, np.int64), *driven])
        self.clock_pins = parse(self.cell.flop.clocked_on).pins() if self.cell.flop else ()
        self._conditions: dict[Expression, int] = {}
        self._unconnected = {
            p.name: _function(p, self.cell) for p in self.cell.outputs if p.name not in self.nets and p.function
        } | _visible_state(self.cell, self.nets)
        self._input_arcs = list(self._read_inputs(timing))
        self._output_arcs = list(self._read_outputs(timing))
        self._leakage = [(self._condition(parse(when)), value) for when, value in self.cell.leakage_states]
        self._plan = Plan(self._conditions)

    def _condition(self, expression: Expression) -> int:
        """Index of a state condition; a pin that is not connected stands for its function."""
        for name, function in self._unconnected.items():
            if name in expression.pins():
                expression = expression.substitute(name, function)
        hidden = [name for name in expression.pins() if name not in self.nets]
        if hidden:
            raise UserError(f"cell {self.cell.name!r} has power by {hidden[0]!r}, which no connected pin shows")
        return self._conditions.setdefault(expression, len(self._conditions))

    def _read_inputs(self, timing: Timing) -> Iterator[_InputArc]:
        for one in self.cell.inputs:
            if one.name not in self.nets:
                continue
            for arc in one.internal:
                if arc.related_pin in (None, one.name):
                    slews = timing.slew_ps[self.nets[one.name]]
                    energy = edge_energies(arc, slews, np.zeros(len(slews))).mean(axis=1)
                    yield _InputArc(self._condition(self._when(arc, one)), one.name, energy)

    def _read_outputs(self, timing: Timing) -> Iterator[_OutputArc]:
        for one in self.cell.outputs:
            if one.name not in self.nets:
                continue
            function = _function(one, self.cell)
            loads = timing.load_ff[self.nets[one.name]]
            for arc in one.internal:
                related = arc.related_pin if arc.related_pin in self.nets else None
                if related is None and arc.related_pin is not None:
                    continue
                inverting = any(t.related_pin == related and t.sense == "negative_unate" for t in one.timing)
                inverting &= not any(t.related_pin == related and t.sense != "negative_unate" for t in one.timing)
                slews = timing.slew_ps[self.nets[related]] if related else np.zeros((len(loads), 2))
                energy = edge_energies(arc, slews[:, ::-1] if inverting else slews, loads).mean(axis=1)
                follows = self._condition(self._follows(function, related, self._when(arc, one)))
                yield _OutputArc(one.name, arc.supply or "", related, follows, energy)

    def _when(self, arc: InternalPower, one: Pin) -> Expression:
        """States in which a group counts; one without ``when`` beside others with it is for the states they leave."""
        if arc.when:
            return parse(arc.when)
        beside = [
            parse(other.when)
            for other in one.internal
            if other.when and (other.related_pin, other.supply) == (arc.related_pin, arc.supply)
        ]
        if self.rule is Rule.INDEPENDENT or not beside:
            return _ALWAYS
        return Expression(NOT, (reduce(lambda left, right: Expression(OR, (left, right)), beside),))

    def _follows(self, function: Expression, related: str | None, condition: Expression) -> Expression:
        """Condition under which the output follows the related pin (Boolean difference)."""
        if related is None or related in self.clock_pins or related not in function.pins():
            return condition
        differs = Expression(
            XOR,
            (
                function.substitute(related, _ALWAYS),
                function.substitute(related, Expression(CONSTANT, value=0)),
            ),
        )
        if any(name not in self.nets and name not in self._unconnected for name in differs.pins()):
            return condition  # by a state within, such as a clock gate's
        always = condition is _ALWAYS
        return differs if self.rule is Rule.INDEPENDENT or always else Expression(AND, (condition, differs))

    def energy(self, activity: Activity | Annotation, clock_ps: float) -> Energy:
        """Internal and leakage energy of a cycle, all instances together."""
        internal, clock_pins, leakage = self.energies(activity, clock_ps).sum(axis=1).tolist()
        return Energy(internal + clock_pins, 0.0, leakage)

    def energies(self, activity: Activity | Annotation, clock_ps: float) -> np.ndarray:
        """Energy of a cycle in fJ, float [3, instances]: internal without clock pins, of clock pins, leakage."""
        share = self._shares(activity)
        density = {name: activity.density[nets] for name, nets in self.nets.items()}
        internal, clock_pins, leakage = found = np.zeros((3, len(self.names)))
        for one in self._input_arcs:
            paid = clock_pins if one.pin in self.clock_pins else internal
            paid += one.energy * share[one.when] * density[one.pin]
        by_output: dict[tuple[str, str], list[_OutputArc]] = {}
        for arc in self._output_arcs:
            by_output.setdefault((arc.pin, arc.supply), []).append(arc)
        for (name, _), arcs in by_output.items():
            weights = np.array([share[arc.follows] * (density[arc.related] if arc.related else 1.0) for arc in arcs])
            energies = np.array([arc.energy for arc in arcs])
            total = weights.sum(axis=0)
            # Inputs that always change together may never sensitise a pin alone: then arcs weigh the same.
            weights = np.where(total > 0, weights, 1.0) / np.where(total > 0, total, len(arcs))
            internal += (weights * energies).sum(axis=0) * density[name]
        default = 1.0 - sum(share[index] for index, _ in self._leakage) if self._leakage else 1.0
        leakage += default * self.cell.leakage_nw
        leakage += sum(share[index] * value for index, value in self._leakage)
        leakage *= clock_ps * 1e-6  # nW * ps = 1e-6 fJ
        return found

    def _shares(self, activity: Activity | Annotation) -> list[np.ndarray]:
        """P of every condition, [instances] each."""
        count = len(next(iter(self.nets.values())))
        if self.rule is Rule.INDEPENDENT:
            probability = {name: activity.probability[nets] for name, nets in self.nets.items()}
            return [np.broadcast_to(one.probability(probability), count) for one in self._conditions]
        if isinstance(activity, Annotation):
            raise UserError("joint states of pins need waveforms; take Rule.INDEPENDENT with an annotated activity")
        ones = activity.counted
        values = {name: activity.planes[nets] for name, nets in self.nets.items()}
        clock = [name for name in self.clock_pins if name in values and activity.phases == 1]
        cases = [values] if not clock else [values | {clock[0]: np.zeros_like(ones)}, values | {clock[0]: ones}]
        totals = [np.zeros(count)] * len(self._conditions)
        for case in cases:
            for index, holds in enumerate(self._plan.run(case, ones)):
                totals[index] = totals[index] + np.bitwise_count(holds & ones).sum(axis=-1, dtype=np.int64)
        return [total / (len(cases) * activity.steps) for total in totals]


def _function(one: Pin, cell: LibertyCell) -> Expression:
    """Function of an output over the cell's pins; a flip-flop's inverse output over its true one."""
    function = parse(one.function or "0")
    element = cell.element
    if not element:
        return function
    for other in cell.outputs:
        name = (other.function or "").strip(" ()")
        if other.name != one.name and name in (element.state, element.inverse):
            same = name == (one.function or "").strip(" ()")
            return pin(other.name) if same else Expression(NOT, (pin(other.name),))
    return function


def _visible_state(cell: LibertyCell, nets: Mapping[str, np.ndarray]) -> dict[str, Expression]:
    """A cell's state and its inverse by name, over a connected output that shows one of them."""
    element = cell.element
    for one in cell.outputs if element else ():
        shown = (one.function or "").strip(" ()")
        if element and one.name in nets and shown in (element.state, element.inverse):
            same, other = pin(one.name), Expression(NOT, (pin(one.name),))
            found = {element.state: same, element.inverse: other}
            found = found if shown == element.state else {element.state: other, element.inverse: same}
            return {name: value for name, value in found.items() if name}
    return {}


def edge_energies(arc: InternalPower, slew_ps: np.ndarray, load_ff: np.ndarray) -> np.ndarray:
    """Energy of a rise and of a fall in fJ, float [instances, 2]; an absent table is no energy.

    ``slew_ps`` float [instances, 2] is what each of the two is looked up at, ``load_ff`` float [instances].
    """
    pairs = zip(slew_ps.tolist(), load_ff.tolist(), strict=True)
    found = [(_at(arc.rise, rise, load), _at(arc.fall, fall, load)) for (rise, fall), load in pairs]
    return np.array(found).reshape(-1, 2)


def _at(table: Table | None, slew: float, load: float) -> float:
    return table.at(slew, load) if table else 0.0
