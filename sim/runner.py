"""Building Verilog with Verilator and running a cocotb module on it. No shell, no global state."""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.config
import cocotb_tools.runner

from slipstick.sources import code_digest
from slipstick.store import Store, caches_of_tools, digest

from .compile import COMPILER_VARIABLES, SimulationError, compile_simulator, compiler_identity, tail
from .verilator import find_verilator

FLAGS = (
    "--cc",
    "--exe",
    "--vpi",
    "--timing",
    "--noassert",
    "-fno-dfg",  # its rewriting makes every instance of a module unlike the others
    "--prefix",
    "Vtop",
    "--x-assign",
    "unique",
    "--x-initial",
    "unique",
)
QUIET = ("-Wno-fatal", "-Wno-lint", "-Wno-style")
WAVEFORM = "dump.vcd"


@dataclass(frozen=True)
class Build:
    """A compiled simulator of module ``top`` in ``folder``."""

    top: str
    folder: Path
    waves: bool


def build(
    sources: Mapping[str, str],
    top: str,
    *,
    parameters: Mapping[str, int] | None = None,
    shared: Sequence[str] = (),
    waves: bool = False,
) -> Build:
    """Compile Verilog texts (file name -> text), or take the build kept for the same texts, flags and tools.

    Only the ports of ``top`` are visible to cocotb. ``shared`` names modules (shell patterns) whose
    instances all run one piece of machine code: it stays in the instruction cache, where a copy for each
    processing element does not, and compiles in a fraction of the time. ``waves`` adds a VCD writer.
    Raises SimulationError with the end of the log when a tool refuses the text, ToolNotFound when a tool
    is missing.
    """
    tool = find_verilator()
    flags = [*FLAGS, *QUIET, *(f"-G{name}={value}" for name, value in (parameters or {}).items())]
    if waves:
        flags.append("--trace-vcd")
    identity = [list(tool.version), str(tool.executable), version("cocotb"), str(cocotb_tools.config.libs_dir)]
    compiler = [*compiler_identity(), *(os.environ.get(name) for name in COMPILER_VARIABLES)]
    control = control_file(top, shared)
    key = digest(dict(sources), top, flags, control, identity, compiler, code_digest(__name__))[:24]
    with caches_of_tools(), Store("simulators").building(key) as (folder, ready):
        if not ready:
            for name, text in sources.items():
                (folder / name).write_text(text)
            compile_simulator(tool, flags, top, sources, control, folder / top, folder.with_suffix(".log"))
    return Build(top, folder, waves)


def control_file(top: str, shared: Sequence[str]) -> str:
    """Verilator's control file; public ports keep it from wiring an instance's logic to its neighbours'."""
    lines = ["`verilator_config", f'public_flat_rw -module "{top}" -port "*"']
    for pattern in shared:
        lines += [f'no_inline -module "{pattern}"', f'public_flat_rd -module "{pattern}" -port "*"']
    return "\n".join(lines) + "\n"


def run(built: Build, module: str, folder: Path, *, seed: int, testcase: str | None = None) -> Path | None:
    """Run the cocotb tests of ``module``, or only ``testcase``, in ``folder``; return the waveform, if one is written.

    Registers and memories start with values drawn from ``seed``, as silicon would.
    Raises SimulationError with cocotb's message when a test fails or the simulator ends early.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, log = folder.resolve() / "results.xml", folder.resolve() / "simulation.log"
    with suppress(SystemExit):  # the runner's way to say that a test failed; the results say which
        cocotb_tools.runner.Verilator().test(
            test_module=module, hdl_toplevel=built.top, hdl_toplevel_lang="verilog", build_dir=built.folder,
            test_dir=folder, seed=seed, results_xml=str(results), log_file=log, testcase=testcase,
            waves=built.waves, plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed % 0x7FFFFFFE + 1}"],
        )  # fmt: skip
    if not results.exists():
        raise SimulationError(f"the simulator ended without results; the end of {log}:\n{tail(log)}")
    for case in ElementTree.parse(results).iter("testcase"):
        for failure in (*case.iter("failure"), *case.iter("error")):
            kind, message = (failure.get(f"error_{part}") or failure.get(part) or "" for part in ("type", "msg"))
            raise SimulationError(f"{case.get('name')}: {kind} {message or failure.get('message')}\nlog: {log}")
    return folder / WAVEFORM if built.waves else None
