"""Power of one mapped design on input vectors, kept by content: what ``slipstick power`` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from slipstick.errors import UserError
from slipstick.flow.library.liberty import Liberty
from slipstick.sources import code_digest
from slipstick.store import Store, digest

from .activity import Activity, simulate
from .annotation import MINIMUM_COVERAGE, Annotation
from .cell_power import Energy, Rule
from .clocks import clocks_of
from .delays import Delays
from .gates import MappedNetlist
from .glitches import with_glitches
from .power import PowerModel, power_model
from .synth import Synthesis


@dataclass(frozen=True)
class Power:
    """Shares of a design's power in uW."""

    internal_uw: float
    switching_uw: float
    leakage_uw: float
    total_uw: float

    @classmethod
    def of(cls, energy: Energy, clock_mhz: float) -> "Power":
        """Power of an energy a cycle: fJ times MHz is nW."""
        return cls(*(share * clock_mhz * 1e-3 for share in (*energy, energy.total_fj)))


@dataclass(frozen=True)
class PowerFigures:
    """Power in all and by part, energy of a cycle, timing; ``coverage`` is what of the activity was given.

    That is the share of input bits that vectors drive, or of nets that an annotation tells.
    """

    power: Power
    parts: dict[str, Power]
    cycle_fj: float
    clock_mhz: float
    delay_ps: float
    f_max_mhz: float
    area_um2: float
    gates: int
    vectors: int | None
    coverage: float
    activity: str
    warnings: tuple[str, ...]


def random_vectors(netlist: MappedNetlist, count: int, seed: int) -> dict[str, np.ndarray]:
    """Uniform random words int64 [count] for every input port but the clocks; bits uint8 [count, width] for wide ones.

    Ports that clear or set registers at once rest instead, after a first cycle in which they act.
    """
    rng = np.random.default_rng(seed)
    words = {
        name: rng.integers(0, 1 << len(nets), count, dtype=np.int64)
        if len(nets) < 63
        else rng.integers(0, 2, (count, len(nets)), dtype=np.uint8)
        for name, nets in _driven_ports(netlist).items()
    }
    for name, level in clocks_of(netlist).quiet.items():
        if name in words:
            words[name] = np.full(count, level)
            words[name][0] = 1 - level
    return words


def measure_power(
    synthesis: Synthesis,
    liberty: Liberty,
    vectors: Mapping[str, np.ndarray],
    *,
    clock_mhz: float,
    delays: Delays = Delays.ZERO,
    minimum_coverage: float = MINIMUM_COVERAGE,
    store: Store | None = None,
) -> PowerFigures:
    """Simulate int vectors [n] by input port on a mapped design and add up its power.

    Ports without vectors stay 0: the figures warn of it. UserError below ``minimum_coverage`` of the input
    bits, for unknown ports, and for vectors that are empty, unequal in length or wider than their port.
    """
    words = {name: np.asarray(values) for name, values in vectors.items()}
    netlist = MappedNetlist.build(synthesis, liberty)
    ports = _driven_ports(netlist)
    for name, values in words.items():
        _check_words(name, values, ports)
    bits = {name: len(nets) for name, nets in ports.items()}
    coverage = sum(bits[name] for name in words) / sum(bits.values()) if bits else 1.0
    if coverage < minimum_coverage:
        missing = ", ".join(sorted(set(bits) - set(words)))
        raise UserError(
            f"vectors drive {coverage:.0%} of the input bits, less than {minimum_coverage:.0%}; missing: {missing}"
        )
    names = sorted(words)
    key = digest(
        synthesis.key, liberty.digest, clock_mhz, delays.name, names, *(words[name] for name in names),
        code_digest(__name__),
    )  # fmt: skip
    found = (store or Store("power")).json(key, lambda: _measure(synthesis, liberty, words, clock_mhz, delays))
    warning = f"vectors drive {coverage:.0%} of the input bits; the others stay 0"
    figures = _figures(synthesis, liberty, clock_mhz, found, len(words[names[0]]), coverage, warning, delays.value)
    return replace(figures, warnings=(*figures.warnings, *_assumed(netlist, words)))


def _assumed(netlist: MappedNetlist, words: Mapping[str, np.ndarray]) -> list[str]:
    """What was taken for granted of clocks and resets."""
    clocks = clocks_of(netlist)
    inputs = {name: nets for name, (direction, nets) in netlist.ports.items() if direction == "input"}
    ticking = sorted(name for name, nets in inputs.items() if clocks.roots & set(nets))
    said = [f"the clocks {', '.join(ticking)} tick together"] if len(ticking) > 1 else []
    return said + [
        f"{name} rests at {level}, where it neither clears nor sets registers"
        for name, level in clocks.quiet.items()
        if name in words and (words[name][1:] == level).all()
    ]


def measure_annotated(
    synthesis: Synthesis, liberty: Liberty, annotation: Annotation, *, clock_mhz: float
) -> PowerFigures:
    """Power under the activity that another tool found, pins taken as independent (``Rule.INDEPENDENT``)."""
    model = PowerModel(annotation.netlist, clock_ps=1e6 / clock_mhz, rule=Rule.INDEPENDENT)
    warning = f"the activity of {annotation.coverage:.0%} of the nets is known; the others stay 0"
    words = "annotated, pins taken as independent"
    found = _report(model, annotation)
    return _figures(synthesis, liberty, clock_mhz, found, None, annotation.coverage, warning, words)


def _figures(
    synthesis: Synthesis,
    liberty: Liberty,
    clock_mhz: float,
    found: Mapping[str, Any],
    vectors: int | None,
    coverage: float,
    not_covered: str,
    activity: str,
) -> PowerFigures:
    period_ps, delay_ps = 1e6 / clock_mhz, found["delay_ps"]
    warnings = [not_covered] if coverage < 1 else []
    warnings += [f"{liberty.name} has no {what} for {', '.join(cells)}" for what, cells in found["gaps"].items()]
    if delay_ps > period_ps:
        warnings.append(f"the longest path takes {delay_ps:.0f} ps, the clock's period is {period_ps:.0f} ps")
    parts = {name: Energy(*shares) for name, shares in found["parts"].items()}
    total = Energy(0.0, 0.0, 0.0).plus(*parts.values())
    return PowerFigures(
        Power.of(total, clock_mhz), {name: Power.of(one, clock_mhz) for name, one in parts.items()}, total.total_fj,
        clock_mhz, delay_ps, 1e6 / delay_ps if delay_ps else float("inf"),
        synthesis.area_um2, synthesis.gate_count, vectors, coverage, activity, tuple(warnings),
    )  # fmt: skip


def _driven_ports(netlist: MappedNetlist) -> dict[str, tuple[int, ...]]:
    clocks = netlist.clock_nets | clocks_of(netlist).roots
    return {
        name: nets
        for name, (direction, nets) in netlist.ports.items()
        if direction == "input" and not set(nets) & clocks
    }


def _check_words(name: str, values: np.ndarray, ports: Mapping[str, Sequence[int]]) -> None:
    """UserError unless ``values`` are words of an input port, unsigned or two's complement."""
    if name not in ports:
        raise UserError(f"no input port is called {name!r}; inputs: {', '.join(sorted(ports))}")
    width = len(ports[name])
    if values.shape[1:] == (width,) and values.dtype.kind in "iu" and len(values) > 1 and width > 1:
        if values.min() < 0 or values.max() > 1:
            raise UserError(f"vectors of {name!r} are {list(values.shape)}: bits, and these are 0 or 1")
        return
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iu":
        raise UserError(
            f"vectors of {name!r} are {values.dtype} {list(values.shape)}; give at least 2 whole numbers, [n], "
            f"or bits, [n, {width}]"
        )
    if width < 63 and not -(1 << width >> 1) <= int(values.min()) <= int(values.max()) < 1 << width:
        raise UserError(f"vectors of {name!r} reach from {values.min()} to {values.max()}; the port has {width} bits")


def _measure(
    synthesis: Synthesis, liberty: Liberty, words: Mapping[str, np.ndarray], clock_mhz: float, delays: Delays
) -> dict[str, Any]:
    model = power_model(synthesis, liberty, 1e6 / clock_mhz)
    return _report(model, with_glitches(simulate(model.netlist, words), delays, model.timing))


def _report(model: PowerModel, activity: Activity | Annotation) -> dict[str, Any]:
    report = model.report(activity)
    return {
        "parts": {name: list(getattr(report, name)) for name in ("gates", "registers", "inputs")},
        "delay_ps": model.timing.delay_ps,
        "gaps": _gaps(model.netlist),
    }


def _gaps(netlist: MappedNetlist) -> dict[str, list[str]]:
    """Cells in use whose tables are absent from the library, by what is missing: their share is silently 0."""
    cells = {one.cell.name: one.cell for one in netlist.instances if one.cell.inputs}
    delays = {name for name, one in cells.items() if not any(a.delay_rise for p in one.outputs for a in p.timing)}
    energies = {name for name, one in cells.items() if not any(pin.internal for pin in one.pins.values())}
    found = {"delay tables": delays, "internal energy": energies}
    return {what: sorted(names) for what, names in found.items() if names}


def as_json(figures: PowerFigures) -> dict[str, Any]:
    """The figures as plain JSON."""
    return asdict(figures) | {"f_max_mhz": figures.f_max_mhz if np.isfinite(figures.f_max_mhz) else None}
