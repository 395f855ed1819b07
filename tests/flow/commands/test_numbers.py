"""Every option that takes a number, of every command: what lies outside its limits is one line, before any work."""

import inspect
import math
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import typer

from slipstick.errors import UserError
from slipstick.flow import cli
from slipstick.flow.evolve.search import Settings
from slipstick.flow.job.config import FlowConfig
from slipstick.flow.reuse.select import SelectConfig
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.weightless.match import MatchConfig
from tests.flow.command_line import call

NUMBERS = {int: ["-1", "99999999999999999999"], float: ["nan", "inf", "-inf", "-1", "1e300"]}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def options() -> list[tuple[tuple[str, ...], str, type]]:
    """(command, option, type) of every numeric option."""
    found = []
    for path, command in commands(typer.main.get_group(cli.app)):
        hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
        for param in command.params:
            base = get_args(hints[param.name])[0] if get_origin(hints[param.name]) is Annotated else None
            for kind in (int, float):
                if param.param_type_name == "option" and (base is kind or kind in get_args(base)):
                    found.append((path, max(param.opts, key=len), kind))
    return found


OPTIONS = options()


def test_there_are_many() -> None:
    assert len(OPTIONS) > 80 and {"--seed", "--clock-mhz", "--max-loss", "--trials"} <= {name for _, name, _ in OPTIONS}


@pytest.mark.parametrize(("path", "option", "kind"), OPTIONS, ids=[" ".join((*p, o)) for p, o, _ in OPTIONS])
def test_numbers_without_sense_are_refused_by_name(path, option, kind, monkeypatch, capsys) -> None:
    """With arguments that do not exist: nothing is read before the numbers are right."""
    for value in NUMBERS[kind]:
        assert call(monkeypatch, *path, *["nowhere"] * ARGUMENTS.get(path, 0), f"{option}={value}") == 2
        shown = [line for line in capsys.readouterr().err.splitlines() if line]
        assert len(shown) == 1 and shown[0].startswith(f"slipstick: {option} ") and ": must be " in shown[0], shown


ARGUMENTS = {
    ("cells", "import"): 1, ("train",): 1, ("finetune",): 1, ("weightless",): 1, ("pwl", "fit"): 1,
}  # fmt: skip


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize(("config", "name"), [
    (FlowConfig, "clock_mhz"), (FlowConfig, "max_loss"), (FinetuneConfig, "rate"), (FinetuneConfig, "weight_decay"),
    (FinetuneConfig, "temperature"), (FinetuneConfig, "features"), (FinetuneConfig, "warmup"), (MatchConfig, "rate"),
    (Settings, "bias"), (Settings, "clock_mhz"), (Settings, "bit_fj"), (SelectConfig, "fraction"),
])  # fmt: skip
def test_from_python_they_are_refused_too(config, name: str, bad: float) -> None:
    with pytest.raises(UserError):
        config(**{name: bad})


@pytest.mark.parametrize(("command", "arguments"), [
    ("synth", ["--clock-mhz", "0"]), ("flow", ["--trials", "0"]), ("flow", ["--max-loss", "0"]),
    ("search", ["--search-images", "0"]), ("generate", ["--rows", "0"]), ("generate", ["--columns", "100000"]),
    ("evaluate", ["--test-images", "0"]), ("evaluate", ["--sensitivity", "--images-count", "1"]),
    ("finetune", ["any.npz", "--steps", "0"]), ("cosim", ["--back-pressure", "1"]), ("power", ["--clock-mhz", "0"]),
])  # fmt: skip
def test_so_are_the_ends_that_make_nothing(command: str, arguments: list[str], monkeypatch, capsys) -> None:
    assert call(monkeypatch, command, *arguments) == 2
    option, value = arguments[-2:]
    assert capsys.readouterr().err.startswith(f"slipstick: {option} {value}")
