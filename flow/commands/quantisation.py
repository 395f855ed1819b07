"""How a command calibrates, as options: once, for every command that does."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from slipstick.model.layers.config import Method, QuantConfig

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
        float, typer.Option(help="Of the sizes that are not zero, for --method percentile.")
    ] = DEFAULT.percentile,
    activation_bits: Annotated[int, typer.Option(help="Bits of activation codes, 4 to 8.")] = DEFAULT.activation_bits,
    weight_bits: Annotated[int, typer.Option(help="Bits of weight codes, 2 to 8.")] = DEFAULT.weight_bits,
    stationary_bits: Annotated[
        int | None,
        typer.Option(
            help="Bits of K and V, activations in the place of weights; default: the fewer of both.", show_default=False
        ),
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
    run.__signature__ = inspect.Signature([*own[:place], *OPTIONS.values(), *own[place + 1 :]])  # type: ignore[attr-defined]
    run.__annotations__ = action.__annotations__ | _options.__annotations__
    run.__doc__ = action.__doc__
    return run
