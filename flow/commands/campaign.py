"""``slipstick campaign``: random accelerators on random streams, in Verilator beside the contract."""

from pathlib import Path
from typing import Annotated

import typer

from slipstick.files import check_writable
from slipstick.flow.job.console import Steps
from slipstick.limits import COUNT, STEPS, Limits
from slipstick.sim.campaign import Verdict, campaign

from .options import Json, Seed, number, print_json


def run(
    count: Annotated[int, number(COUNT, help="Trials: a random machine on a random stream each.")] = 100,
    seed: Seed = 0,
    first: Annotated[int, number(STEPS, help="Number of the first trial.")] = 0,
    jobs: Annotated[int | None, number(Limits(1, 4096), help="Processes; default: one a CPU.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the journal, and of the files of trials that differ.")] = Path(
        "out/campaign"
    ),
    json: Json = False,
) -> None:
    """Simulate random accelerators and compare every answer, mark and cycle with the contract in whole numbers.

    Sizes, tiles, cells and their encodings, accumulators, shapes, limits, pauses on both sides and resets in the
    middle are drawn from the seed. Stopped, it goes on where it was. Exit code 1 when a trial differs.

    Example: slipstick campaign --count 2000 --seed 1 --out out/campaign
    """
    check_writable(out / "journal.jsonl")
    steps = Steps(quiet=json)
    found: list[Verdict] = []
    with steps.step("campaign"):
        bar = steps.bar("trials")
        for verdict in campaign(seed, range(first, first + count), out, jobs):
            found.append(verdict)
            bar(len(found), count)
            if verdict.difference:
                steps.note(_line(verdict, seed))
    wrong = sorted((one for one in found if one.difference), key=lambda one: one.number)
    answers = sum(one.answers for one in found)
    if json:
        lines = [_line(one, seed) for one in wrong]
        print_json({"seed": seed, "trials": len(found), "answers": answers, "differ": lines})
    else:
        typer.echo(f"{len(found)} trials, {answers:,} answers, {len(wrong)} differ")
    if wrong:
        raise typer.Exit(1)


def _line(verdict: Verdict, seed: int) -> str:
    return (
        f"trial {verdict.number} ({verdict.trial}): {verdict.difference}; "
        f"again: slipstick campaign --seed {seed} --first {verdict.number} --count 1 --out out/again"
    )
