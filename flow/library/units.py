"""Units of a Liberty library, as factors to those of this project: ps, fF, nW, V, fJ."""

from slipstick.errors import UserError

from .syntax import Group, number

_SCALE = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3}
_UNITS = {
    "ps": ("time_unit", "1ns", 1e-12),
    "ff": ("capacitive_load_unit", "1pf", 1e-15),
    "nw": ("leakage_power_unit", "1nW", 1e-9),
    "v": ("voltage_unit", "1V", 1.0),
}


def units(library: Group) -> tuple[dict[str, float], list[str]]:
    """Factors by unit, and a note on those that the library does not state; UserError for what is no unit.

    Internal energy has no unit of its own: it is voltage squared times capacitance.
    """
    found = {name: _size(library, *unit) for name, unit in _UNITS.items()}
    missing = [f"{attribute} ({usual})" for attribute, usual, _ in _UNITS.values() if library.get(attribute) is None]
    return (
        found | {"fj": found["v"] ** 2 * found["ff"]},
        [f"states no {', '.join(missing)}: those in brackets are taken"] if missing else [],
    )


def _size(library: Group, attribute: str, usual: str, base: float) -> float:
    """Size of a unit such as "1ns", "10ps" or (1, pf), relative to ``base`` of its SI unit."""
    text = (library.get(attribute) or usual).replace('"', "").replace(" ", "").replace(",", "")
    letters = text.lstrip("0123456789.eE+-")
    try:
        size = number(text.removesuffix(letters) or "1") * _SCALE[letters[:-1].lower()] / base
        if letters[-1:].lower() != usual[-1].lower() or size <= 0:
            raise ValueError
    except (ValueError, KeyError):
        raise UserError(f"library {library.name}: {attribute} {text!r} is not a unit such as {usual!r}") from None
    return size
