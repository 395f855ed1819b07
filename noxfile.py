"""Sessions of Slipstick; ``nox --list`` shows them.

All share one environment, ``.nox/slipstick``, made on first use and renewed when pyproject.toml
changes: torch is installed once, not once a session. Arguments after ``--`` go to the tool.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]
nox.options.default_venv_backend = "none"

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".nox" / "slipstick"


def python(session: nox.Session, *groups: str) -> str:
    """The shared environment's interpreter, with the project and dependency groups installed."""
    interpreter = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    stamp = ENVIRONMENT / f"installed-{'-'.join(groups) or 'project'}"
    wanted = hashlib.sha256((HERE / "pyproject.toml").read_bytes() + str(HERE).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return str(interpreter)
    if not interpreter.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
        session.run(str(interpreter), "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1", external=True)
    options = [option for group in groups for option in ("--group", group)]
    session.log("installing into the shared environment; the first time takes some minutes (torch)")
    session.run(str(interpreter), "-m", "pip", "install", "--quiet", "--editable", ".", *options, external=True)
    stamp.write_text(wanted)
    return str(interpreter)


@nox.session
def flow(session: nox.Session) -> None:
    """Run the main job: shipped ViT to verified approximate accelerator, with a report in out/."""
    session.run(python(session), "-m", "slipstick", "flow", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, a file at a time in each of two processes; `-- -m "not slow"` leaves the slow ones out."""
    workers = ("-n", str(min(2, os.cpu_count() or 1)), "--dist", "loadfile")
    session.run(python(session, "test"), "-m", "pytest", *workers, *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    interpreter = python(session, "lint")
    session.run(interpreter, "-m", "ruff", "check", ".", external=True)
    session.run(interpreter, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(interpreter, "-m", "mypy", external=True)
    session.run(str(Path(interpreter).with_name("lint-imports")), external=True)


@nox.session
def cosim(session: nox.Session) -> None:
    """Co-simulate the shipped model's first block on a mixed array, bit for bit."""
    session.run(python(session), "-m", "slipstick", "cosim", *session.posargs, external=True)


@nox.session
def campaign(session: nox.Session) -> None:
    """Simulate random accelerators on random streams beside the contract; `-- --count 2000 --seed 1 --out DIR`."""
    session.run(python(session), "-m", "slipstick", "campaign", *session.posargs, external=True)


@nox.session
def generate(session: nox.Session) -> None:
    """Write the Verilog of an array; `-- --rows 8 --columns 8 --mix exact8s:4,drum8s_k4:4`."""
    session.run(python(session), "-m", "slipstick", "generate", *session.posargs, external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed as ratios within one run: emulation, co-simulation, search."""
    session.run(python(session, "test"), "-m", "tests.bench.run", *session.posargs, external=True)


@nox.session
def cells(session: nox.Session) -> None:
    """Characterise every cell beside ArithsGen's; writes docs/cells.md."""
    session.run(python(session, "test"), "-m", "tests.bench.cells", external=True)


@nox.session
def power(session: nox.Session) -> None:
    """Measure power against OpenSTA, with glitches, composed and flat; writes docs/power.md."""
    session.run(python(session, "test"), "-m", "tests.bench.power", external=True)


@nox.session
def array(session: nox.Session) -> None:
    """Measure the mesh by size and library; `-- LIBERTY ...` adds libraries; writes docs/array.md and its picture."""
    session.run(python(session, "test"), "-m", "tests.bench.array", *session.posargs, external=True)


@nox.session
def integer(session: nox.Session) -> None:
    """Measure integer-only inference before and after finetuning; `-- PACK` with train_ and test_ images."""
    session.run(python(session, "test"), "-m", "tests.bench.integer", *session.posargs, external=True)


@nox.session
def calibration(session: nox.Session) -> None:
    """Measure how ranges are chosen, model by method; `-- DATA` with cifar10_jpeg.npz; writes docs/calibration.md."""
    session.run(python(session, "test", "pretrained"), "-m", "tests.bench.calibration", *session.posargs, external=True)


@nox.session
def reuse(session: nox.Session) -> None:
    """Measure attention reuse: published tables, our costs, accuracy; `-- PACK` with train_ and test_ images."""
    session.run(python(session, "test"), "-m", "tests.bench.reuse", *session.posargs, external=True)


@nox.session
def reuse_cosim(session: nox.Session) -> None:
    """Co-simulate the encoders that reuse attention, integer-only, bit for bit; `-- WEIGHTS` of a reuse network."""
    session.run(python(session, "test"), "-m", "tests.bench.reuse_cosim", *session.posargs, external=True)


@nox.session
def weightless(session: nox.Session) -> None:
    """Measure weightless MLPs: `-- digits`, `-- speed`, `-- judge ...`, `-- cosim ...`, or `-- cost ...`."""
    session.run(python(session, "test", "digits"), "-m", "tests.bench.weightless", *session.posargs, external=True)


@nox.session
def weightless_ablations(session: nox.Session) -> None:
    """Match and finetune weightless MLPs of several designs, and print a table; `-- PACK`."""
    session.run(python(session, "test"), "-m", "tests.bench.weightless_ablations", *session.posargs, external=True)


@nox.session
def pwl(session: nox.Session) -> None:
    """Fit every function by both methods beside the published tables; writes docs/pwl.md."""
    session.run(python(session, "test"), "-m", "tests.bench.pwl", external=True)


@nox.session
def pwl_cost(session: nox.Session) -> None:
    """Measure piecewise linear units in int8 beside int32 and floating point; writes docs/pwl_cost.md."""
    session.run(python(session, "test"), "-m", "tests.bench.pwl_cost", external=True)


@nox.session
def matrix(session: nox.Session) -> None:
    """Convert every model family and rewrite the table in docs/conversion.md."""
    session.run(python(session, "test"), "-m", "tests.model.conversion.matrix", external=True)


@nox.session
def pretrained(session: nox.Session) -> None:
    """Run a pretrained encoder on exact, mild and harsh cells; writes docs/pretrained.md."""
    session.run(python(session, "test", "pretrained"), "-m", "tests.pretrained.run", external=True)
