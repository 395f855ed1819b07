"""The table of what finetuning gives back, as Markdown."""

from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from slipstick.files import write_text
from slipstick.flow.job.recovery import Recovery
from slipstick.model.layers.slopes import KINDS

TOOLS = ("slipstick", "python", "torch", "timm", "numpy")


def write_recovery(recovery: Recovery, path: Path) -> None:
    """Write the table to ``path``, with what decides it: settings, seed, versions."""
    environment = Environment(
        loader=PackageLoader("slipstick.flow.report"), undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %"
    versions = recovery.provenance["versions"]
    text = environment.get_template("finetuning.md").render(
        asdict(recovery),
        kinds=KINDS,
        minutes=sum(sum(kinds.values()) for kinds in recovery.seconds.values()) / 60,
        tools=", ".join(f"{name} {versions[name]}" for name in TOOLS),
    )
    write_text(path, text)
