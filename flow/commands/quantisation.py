"""How a command calibrates, as options: once, for every command that does."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from slipstick.model.layers.config import (
    ACTIVATION_BITS,
    PERCENTILE,
    STATIONARY_BITS,
    WEIGHT_BITS,
    Method,
    QuantConfig,
)

from .options import number

DEFAULT = QuantConfig()


def _options(
    method: Annotated[
        Method,
        typer.Option(
            help="How the range of every operand is chosen: by what its codes do to the layer's output, or by the "
            "values alone."
        ),
    ] = DEFAULT.method,
    percentile: Annotated[
        float, number(PERCENTILE, help="Of the sizes that are not zero, for --method percentile.")
    ] = DEFAULT.percentile,
    activation_bits: Annotated[
        int, number(ACTIVATION_BITS, help=f"Bits of activation codes, {ACTIVATION_BITS}.")
    ] = DEFAULT.activation_bits,
    weight_bits: Annotated[
        int, number(WEIGHT_BITS, help=f"Bits of weight codes, {WEIGHT_BITS}.")
    ] = DEFAULT.weight_bits,
    stationary_bits: Annotated[
        int | None,
        number(STATIONARY_BITS, help="Bits of K and V, activations held as weights; default: the fewer of both."),
    ] = DEFAULT.stationary_bits,
    clip_weights: Annotated[
        bool, typer.Option(help="With --method output: clip a channel's largest weights where that errs less.")
    ] = DEFAULT.clip_weights,
) -> None:
    raise AssertionError("only its signature is used")


OPTIONS = inspect.signature(_options).parameters


def takes_quantisation(action: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``quantisation`` is a QuantConfig, on the command line its options."""

    def run(**given: Any) -> None:
        quantisation = QuantConfig(**{name: given.pop(name) for name in OPTIONS})
        action(**given, quantisation=quantisation)

    own = list(inspect.signature(action).parameters.values())
    place = next(number for number, one in enumerate(own) if one.name == "quantisation")
    signature = inspect.Signature([*own[:place], *OPTIONS.values(), *own[place + 1 :]])
    return as_command(run, signature, action.__annotations__ | _options.__annotations__, action.__doc__)


def as_command(
    run: Callable[..., None], signature: inspect.Signature, annotations: dict[str, Any], doc: str | None
) -> Callable[..., None]:
    """``run``, which takes anything, as a command of the options that typer reads from these."""
    run.__signature__ = signature  # type: ignore[attr-defined]  # inspect knows it, typeshed does not
    run.__annotations__, run.__doc__ = annotations, doc
    return run
