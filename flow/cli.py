"""The command line: lists the commands; each lives in ``commands``."""

import ast
import errno
import importlib
import sys
from pathlib import Path
from textwrap import shorten
from typing import Any

import typer
from typer.core import TyperGroup

from slipstick import __version__
from slipstick.errors import UserError, show_notices_plainly

COMMANDS = (
    "cells", "generate", "cosim", "campaign", "synth", "power", "evaluate", "search", "report", "flow", "train",
    "finetune", "kernels", "liberty", "pwl", "reuse", "weightless",
)  # fmt: skip
"""Modules of ``commands``, each with a function ``run`` or a group ``app``."""


class _OnDemand(TyperGroup):
    """Imports the module of a command only when it is called: torch and timm alone take seconds."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"slipstick.flow.commands.{cmd_name}")
        parent = typer.Typer(**SETTINGS)
        if hasattr(module, "app"):
            parent.add_typer(module.app, name=cmd_name)
        else:
            parent.command(cmd_name)(module.run)
        return typer.main.get_group(parent).get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by what their sources say of them, which imports none."""
        width = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, shorten(_summary(name), width, placeholder="...")) for name in COMMANDS])


def _summary(name: str) -> str:
    """What a command does: the first line of its module's ``run``, or of the ``help`` of its ``app``."""
    tree = ast.parse((Path(__file__).parent / "commands" / f"{name}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            return (ast.get_docstring(node) or "").partition("\n\n")[0]
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.targets[0]) == "app":
            texts = [str(ast.literal_eval(one.value)) for one in node.value.keywords if one.arg == "help"]
            return "".join(texts).partition("\n\n")[0]
    return ""


_HINTS = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS), "make room, or set TMPDIR to a disk that has some")
_HINTS |= dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or name another")
_HINTS |= dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR), "name another")
"""What helps against the errors of the system that are no fault of ours."""
SETTINGS: dict[str, Any] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "add_completion": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(
    name="slipstick",
    cls=_OnDemand,
    help="From a timm Vision Transformer to a verified approximate accelerator.",
    no_args_is_help=True,
    **SETTINGS,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True)) -> None:
    pass


def run() -> int:
    """Run the command line; a user's mistake, or a disk's, is one line on standard error and exit code 2."""
    show_notices_plainly()
    try:
        app()
    except UserError as error:
        print(f"slipstick: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _HINTS:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(f"slipstick: {error.strerror}{place}: {_HINTS[error.errno]}", file=sys.stderr)
        return 2
    return 0
