"""Arguments of ``timm.create_model`` as a user writes them: JSON, or ``key=value`` with commas or blanks between."""

import inspect
import json
import re
from typing import Any

import timm
from torch import nn

from slipstick.errors import UnknownName, UserError
from slipstick.files import parse_json

OURS = {"pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "features_only",
        "scriptable", "exportable", "no_jit"}  # fmt: skip
GENERAL = ("img_size", "in_chans", "num_classes", "global_pool", "drop_rate", "drop_path_rate")
EXAMPLE = "give for example --model-args img_size=64,patch_size=8,depth=4"
_WRONG = (TypeError, ValueError, AssertionError, RuntimeError, KeyError, AttributeError, IndexError, ZeroDivisionError,
          NotImplementedError, ImportError)  # fmt: skip
"""What architectures raise for arguments that do not fit them; all of it is told in one line."""


def read_arguments(text: str | None) -> dict[str, Any]:
    """The arguments by name; none for None. Raises UserError for another form, or for what weights are chosen with."""
    if text is None or not text.strip():
        return {}
    if text.lstrip().startswith("{"):
        try:
            found = parse_json(text, "--model-args")
        except UserError as error:
            raise UserError(f"{error}; {EXAMPLE}") from error
    else:
        found = {}
        for part in re.split(r"[,\s]+", text.strip(", \t\n")):
            key, equals, value = part.partition("=")
            if not equals or not key.isidentifier() or not value:
                raise UserError(f"--model-args: {part!r} is not key=value; {EXAMPLE}, or JSON for lists")
            if key in found:
                raise UserError(f"--model-args: {key} stands there twice")
            found[key] = _value(value)
    if ours := sorted(found.keys() & OURS):
        raise UserError(f"--model-args: {ours[0]} is not to be chosen here; weights come with --weights")
    return found


def _value(text: str) -> Any:
    plain = {"True": True, "False": False, "None": None}
    if text in plain:
        return plain[text]
    try:
        return parse_json(text, "value")
    except UserError:
        return text


def create(name: str, arguments: dict[str, Any], **fixed: Any) -> nn.Module:
    """``timm.create_model``. Raises UserError for arguments that the model does not know or cannot be built with."""
    try:
        module = timm.create_model(name, **{**fixed, **arguments})
    except _WRONG as error:
        if not arguments:
            raise
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown and unknown[1] in arguments:
            raise UnknownName(f"argument of {name} in --model-args", unknown[1], _known(name)) from error
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name} cannot be built with --model-args {json.dumps(arguments)}: {why}") from error
    known = _parameters(type(module))
    for argument in arguments:
        if argument not in known and argument not in GENERAL:  # swallowed by a **kwargs
            raise UnknownName(f"argument of {name} in --model-args", argument, known)
    return module


def _known(name: str) -> list[str]:
    return _parameters(type(timm.create_model(name)))


def _parameters(kind: type[nn.Module]) -> list[str]:
    return [one for one in inspect.signature(kind.__init__).parameters if one not in ("self", "args", "kwargs")]
