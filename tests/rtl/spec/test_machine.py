"""One config describes a machine, survives JSON, and refuses what cannot be built."""

import json
import re

import pytest

from slipstick.errors import UserError
from slipstick.rtl.spec.machine import AcceleratorConfig
from tests.rtl.array.machines import machine


@pytest.mark.parametrize("mix", ["uniform", "column", "row", "grid"])
def test_a_config_survives_json(mix: str) -> None:
    config = machine(2, 4, mix=mix)
    assert AcceleratorConfig.from_json(json.loads(json.dumps(config.as_json()))) == config


@pytest.mark.parametrize(
    ("rows", "columns", "named"), [(3, 1, "rows"), (1, 3, "columns"), (0, 1, "rows"), (8, 1, "rows")]
)
def test_tiles_divide_the_array(rows: int, columns: int, named: str) -> None:
    with pytest.raises(UserError, match=rf"tiles of \d {named} do not divide 4; possible: 1, 2, 4"):
        machine(rows, columns)


@pytest.mark.parametrize(("rows", "depth"), [(1, 1), (0, 4), (2, 0)])
def test_a_machine_has_accumulators_and_a_depth(rows: int, depth: int) -> None:
    with pytest.raises(UserError, match=f"not {rows} and {depth}"):
        AcceleratorConfig(machine(1, 1).array, accumulator_rows=rows, depth=depth)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 7}, "config is of version 7; this Slipstick reads 1"),
        ({"speed": 1}, "unknown or missing keys: speed"),
        ({"rows": "4"}, "rows is '4', not a whole number"),
        ({"depth": True}, "depth is True, not a whole number"),
        ({"digests": {}}, "is not the one that the config was made with"),
        ({"mix": ["exact_booth8s"]}, "the mix is 4 x {1}, the array 4 x 4"),
        ({"mix": 3}, "mix is 3, not a list of cells"),
    ],
)
def test_a_config_of_something_else_is_refused_in_one_line(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as told:
        AcceleratorConfig.from_json(machine(1, 1, mix="grid").as_json() | change)
    assert "\n" not in str(told.value)
