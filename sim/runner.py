"""Building Verilog with Verilator and running a cocotb module on it. No shell, no global state."""

import os
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.config
import cocotb_tools.runner

from slipstick.store import Store, caches_of_tools, digest

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
MAKE_FLAGS = ("OPT_FAST=-O2",)  # hot code only: optimising the constructors costs minutes and gains nothing
WAVEFORM = "dump.vcd"


class SimulationError(RuntimeError):
    """A simulation could not be built, or stopped in another way than its bench intends."""


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
    identity = [list(tool.version), version("cocotb"), str(cocotb_tools.config.libs_dir)]
    control = _control(top, shared)
    key = digest(dict(sources), top, flags, list(MAKE_FLAGS), control, identity)[:24]
    with caches_of_tools(), Store("simulators").building(key) as (folder, ready):
        if not ready:
            for name, text in sources.items():
                (folder / name).write_text(text)
            (folder / "control.vlt").write_text(control)
            libraries = cocotb_tools.config.libs_dir
            main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
            command = [
                str(tool.executable), *flags, "-Mdir", ".", "--top-module", top, "-o", top,
                "-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator",
                str(main), "control.vlt", *sources,
            ]  # fmt: skip
            environment = {**os.environ, **dict(tool.environment)}
            environment.pop("VERILATOR_ROOT", None)
            _execute(command, folder, environment)
            jobs = str(len(os.sched_getaffinity(0)))
            _execute(["make", "-j", jobs, "-f", "Vtop.mk", f"VM_TRACE={int(waves)}", *MAKE_FLAGS], folder, environment)
            for file in folder.iterdir():
                if file.name != top and file.name not in sources:
                    file.unlink()  # C++ of tens of megabytes that nobody needs again
    return Build(top, folder, waves)


def _control(top: str, shared: Sequence[str]) -> str:
    """Verilator's control file; public ports keep it from wiring an instance's logic to its neighbours'."""
    lines = ["`verilator_config", f'public_flat_rw -module "{top}" -port "*"']
    for pattern in shared:
        lines += [f'no_inline -module "{pattern}"', f'public_flat_rd -module "{pattern}" -port "*"']
    return "\n".join(lines) + "\n"


def _execute(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        code = subprocess.run(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        ).returncode
    if code:
        raise SimulationError(f"{Path(command[0]).name} failed; the end of {log}:\n{_tail(log)}")


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
        raise SimulationError(f"the simulator ended without results; the end of {log}:\n{_tail(log)}")
    for case in ElementTree.parse(results).iter("testcase"):
        for failure in (*case.iter("failure"), *case.iter("error")):
            kind, message = (failure.get(f"error_{part}") or failure.get(part) or "" for part in ("type", "msg"))
            raise SimulationError(f"{case.get('name')}: {kind} {message or failure.get('message')}\nlog: {log}")
    return folder / WAVEFORM if built.waves else None


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"
