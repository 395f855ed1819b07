"""Look-up tables of a Liberty library as [slews, loads, rows], whatever the order of their indices."""

from itertools import pairwise

from slipstick.errors import UserError

from .syntax import Group, numbers

_SLEW_VARIABLES = ("input_net_transition", "input_transition_time", "constrained_pin_transition")
_LOAD_VARIABLES = ("total_output_net_capacitance", "related_pin_transition")
Table = list[list]
"""Slews in ps, loads in fF (ps in constraints), and a row of values for every slew."""


class Tables:
    """Reads the tables of one library by its templates, which decide which index is which."""

    def __init__(self, library: Group, units: dict[str, float]) -> None:
        self.templates = {one.name: one for one in library.groups("lu_table_template", "power_lut_template")}
        self.units = units

    def read(self, group: Group, kind: str, unit: str) -> Table | None:
        """The table ``kind`` of a timing or power group, its values in ``unit``; None where there is none.

        UserError for numbers that are none, an axis that does not rise, and values that do not fit the axes.
        """
        found = next(group.groups(kind), None)
        if found is None:
            return None
        template = self.templates.get(found.name) or Group("", "")
        values = [value * self.units[unit] for value in _numbers(found.get("values"), kind)]
        axes: dict[str, list[float]] = {"slew": [0.0], "load": [0.0]}
        order = []
        for index in (1, 2, 3):
            variable = template.get(f"variable_{index}")
            if variable is None:
                break
            points = _numbers(found.get(f"index_{index}") or template.get(f"index_{index}"), kind)
            if not points:
                raise UserError(f"{kind} has no index_{index}")
            if any(after <= before for before, after in pairwise(points)):
                raise UserError(f"index_{index} of {kind} does not rise: {', '.join(f'{x:g}' for x in points[:8])}")
            if variable in _SLEW_VARIABLES:
                axis, scale = "slew", self.units["ps"]
            elif variable in _LOAD_VARIABLES:
                axis, scale = "load", self.units["ps" if "transition" in variable else "ff"]
            else:
                raise UserError(f"table {found.name!r} runs over {variable!r}, which is not supported")
            if axis in order:
                raise UserError(f"table {found.name!r} runs over two variables of one kind, which is not supported")
            axes[axis] = [point * scale for point in points]
            order.append(axis)
        if len(values) != len(axes["slew"]) * len(axes["load"]):
            raise UserError(
                f"{kind} ({found.name}) has {len(values)} values "
                f"for {len(axes['slew'])} slews x {len(axes['load'])} loads"
            )
        if order == ["load", "slew"]:
            rows = [values[i :: len(axes["slew"])] for i in range(len(axes["slew"]))]
        else:
            width = len(axes["load"])
            rows = [values[i : i + width] for i in range(0, len(values), width)]
        return [axes["slew"], axes["load"], rows]


def _numbers(text: str | None, kind: str) -> list[float]:
    try:
        return numbers(text or "")
    except ValueError as error:
        raise UserError(f"{kind}: {error}") from None
