"""How the commands say what confirmed the choice, and what would confirm a cheaper one."""

from collections.abc import Sequence

import typer

from slipstick.flow.job.confirm import CONFIDENCE, Confirmed

from .options import print_table


def print_confirmed(confirmed: Sequence[Confirmed], max_loss: float, chosen: int) -> None:
    """The tested candidates, the choice, and how many images the next cheaper one would take; loss in points."""
    images = confirmed[0].paired.images if confirmed else 0
    rows = [
        (str(one.point.number), f"{one.point.energy_nj:.1f}",
         f"{100 * one.paired.loss:+.2f} ± {100 * one.paired.standard_error:.2f}", f"{100 * one.bound:.2f}")
        for one in confirmed
    ]  # fmt: skip
    headers = ("trial", "nJ an inference", "points lost", f"at most, at {CONFIDENCE:.0%}")
    print_table(f"on {images} validation images, from the gentlest", headers, rows)
    typer.echo(f"chosen: trial {chosen}" + ("" if any(c.point.number == chosen for c in confirmed) else ", all exact"))
    if confirmed and confirmed[-1].bound > max_loss / 100:
        needed = confirmed[-1].paired.images_to_confirm(max_loss / 100, CONFIDENCE)
        if needed is not None:
            typer.echo(f"about {needed:,} validation images would confirm trial {confirmed[-1].point.number}")
