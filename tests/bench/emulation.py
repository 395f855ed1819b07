"""Speed of the emulation: products, whole models and training steps as ratios to float32 and to a plain loop.

Variants take turns in every round, and a figure is the median over rounds of the ratio within a round. One
thread is measured in CPU seconds, which other work on the machine disturbs least; two threads by the clock.
"""

import ctypes
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.model import gemm
from slipstick.model.convert import approximate_, assign_
from slipstick.model.gemm import PreparedWeights
from slipstick.model.kernels.compiler import find_compiler
from slipstick.model.kernels.selftest import plain_loop as slow_loop
from slipstick.model.layers.gradients import set_gradient_
from slipstick.model.layers.slopes import GradientConfig
from slipstick.rtl.cells import Cell, cell

LINEAR = {  # name: M, K, N
    "DeiT-Tiny qkv, 8 images": (1576, 192, 576),
    "DeiT-Tiny fc2, 8 images": (1576, 768, 192),
    "DeiT-Tiny qkv, 64 images": (12608, 192, 576),
    "DeiT-Small fc1, 8 images": (1576, 384, 1536),
}
ATTENTION = {"DeiT-Tiny QK^T, 8 images": (24, 197, 64, 197), "DeiT-Tiny AV, 8 images": (24, 197, 197, 64)}  # B, M, K, N
CELLS = ("exact8s", "drum8s_k4", "recursive8s", "truncated8s_k4", "truncated8s_k7", "mitchell8s")


class PlainLoop:
    """``plain_loop.cpp``, compiled with -O3 -march=native."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp())
        source, path = Path(__file__).parent / "plain_loop.cpp", folder / "plain_loop.so"
        flags = ["-O3", "-march=native", "-shared", "-fPIC", "-pthread", "-std=c++17"]
        subprocess.run([find_compiler(), *flags, str(source), "-o", str(path)], check=True)
        self.run = ctypes.CDLL(str(path)).plain_loop

    def __call__(self, a: Tensor, w: Tensor, table: Tensor) -> Tensor:
        """int8 [B, M, K] and int8 [B or 1, K, N] -> int32 [B, M, N]."""
        out = torch.empty(*a.shape[:-1], w.shape[-1], dtype=torch.int32)
        sizes = map(ctypes.c_int64, (*a.shape, w.shape[-1]))
        pointers = (ctypes.c_void_p(t.data_ptr()) for t in (a, w, table, out))
        self.run(*pointers, *sizes, int(len(w) == 1), torch.get_num_threads())
        return out


def seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time of one call."""
    started = clock()
    run()
    return clock() - started


def ratios(variants: dict[str, Callable[[], object]], rounds: int, threads: int) -> dict[str, dict[str, float]]:
    """For every variant, the median over rounds of each variant's time over its own."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    for run in variants.values():
        run()
    times = [{name: seconds(run, clock) for name, run in variants.items()} for _ in range(rounds)]
    return {
        name: {other: statistics.median(t[other] / t[name] for t in times) for other in variants} for name in variants
    }


def operands(rng: np.random.Generator, *shape: int) -> Tensor:
    """Codes as a calibrated layer makes them: normal, 4 sigma at the limit."""
    return torch.from_numpy(np.clip(np.rint(rng.normal(0, 32, shape)), -128, 127).astype(np.int8))


def attend(a: Tensor, w: Tensor, one: Cell) -> Tensor:
    """A product whose second operand is new every time, as in attention."""
    return PreparedWeights(w, one).matmul(a)


def product(loop: PlainLoop, title: str, shape: tuple[int, ...], threads: int) -> list[dict[str, Any]]:
    """Every cell against the float32 product and the plain loop, checked for equality first."""
    rng = np.random.default_rng(0)
    constant = len(shape) == 3
    batch, m, k, n = (1, *shape) if constant else shape
    a, w = operands(rng, batch, m, k), operands(rng, 1 if constant else batch, k, n)
    if "AV" in title:  # probabilities: few are large
        a = torch.from_numpy(np.clip(np.rint(rng.exponential(4, (batch, m, k))), 0, 127).astype(np.int8))
    table = torch.tensor(cell("mitchell8s").table)
    variants: dict[str, Callable[[], object]] = {
        "float32": partial(torch.matmul, a.float(), w.float()),
        "plain loop": partial(loop, a, w, table),
    }
    for name in CELLS:
        one = cell(name)
        own = w[0] if constant else w
        assert torch.equal(attend(a, own, one), loop(a, w, torch.tensor(one.table))), (title, name)
        variants[name] = partial(PreparedWeights(own, one).matmul, a) if constant else partial(attend, a, own, one)
    found = ratios(variants, 9, threads)
    return [
        {
            "shape": title, "threads": threads, "cell": name,
            "float32": found[name]["float32"], "plain_loop": found[name]["plain loop"],
        }
        for name in CELLS
    ]  # fmt: skip


def without_compiler(loop: PlainLoop, threads: int) -> list[dict[str, Any]]:
    """Plain torch against the compiled plain loop."""
    rng = np.random.default_rng(1)
    a, w = operands(rng, 1, 1576, 192), operands(rng, 1, 192, 576)
    variants: dict[str, Callable[[], object]] = {
        "plain loop": partial(loop, a, w, torch.tensor(cell("mitchell8s").table))
    }
    with patch.object(gemm, "available", return_value=False):
        for name in CELLS:
            variants[name] = partial(PreparedWeights(w[0], cell(name)).matmul, a)
    found = ratios(variants, 5, threads)
    return [{"threads": threads, "cell": name, "plain_loop": found[name]["plain loop"]} for name in CELLS]


def twins(name: str) -> tuple[nn.Module, nn.Module]:
    """A float model and the same on exact cells."""
    exact, model = timm.create_model(name).eval(), timm.create_model(name).eval()
    model.load_state_dict(exact.state_dict())
    approximate_(model, {}, [torch.randn(33, 3, 224, 224, generator=torch.Generator().manual_seed(1))])
    return exact, model


def train_step(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Forward, backward, and weights that are new."""
    model.zero_grad(set_to_none=True)
    F.cross_entropy(model(images), labels).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.0)


def whole_model(name: str, batch: int, threads: int) -> list[dict[str, Any]]:
    """Forward and training step (straight-through) with every product on cells, as multiples of float32 time."""
    exact, model = twins(name)
    images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(batch)
    rows = []
    for one in CELLS:
        assign_(model, {"default": one})
        with torch.inference_mode():
            forward = ratios({"float32": lambda: exact(images), one: lambda: model(images)}, 5, threads)
        set_gradient_(model, GradientConfig())
        steps = {"float32": partial(train_step, exact, images, labels), one: partial(train_step, model, images, labels)}
        step = ratios(steps, 5, threads)
        rows.append({
            "model": name, "threads": threads, "cell": one,
            "forward_times_float32": 1 / forward[one]["float32"], "step_times_float32": 1 / step[one]["float32"],
        })  # fmt: skip
    return rows


def peak_memory(name: str, batch: int) -> list[dict[str, Any]]:
    """Peak memory of a forward pass and of a training step in processes of their own, as multiples of float32's.

    ``held``: glibc returns every block of 64 KiB or more when it is freed, so the process grows by what it
    holds at once. ``default``: its own policy, under which freed blocks of other sizes stay in the heap.
    """
    rows = []
    for work in ("forward", "step"):
        peaks: dict[str, dict[str, int]] = {}
        for one in ("float32", "drum8s_k4", "mitchell8s"):
            command = [sys.executable, "-m", "tests.bench.emulation", work, name, str(batch), one]
            for policy, own in (("held", {"MALLOC_MMAP_THRESHOLD_": "65536"}), ("default", {})):
                result = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | own)
                peaks.setdefault(one, {})[policy] = int(result.stdout)
        rows += [
            {"model": name, "work": work, "cell": one}
            | {policy: peak / peaks["float32"][policy] for policy, peak in found.items()}
            for one, found in peaks.items()
            if one != "float32"
        ]
    return rows


def show_peak(work: str, name: str, batch: str, one: str) -> None:
    """Print how much the peak of this process grows, in KiB, by the work on one kind of arithmetic."""
    torch.set_num_threads(1)
    exact, model = twins(name)
    if one != "float32":
        assign_(model, {"default": one})
        set_gradient_(model, GradientConfig())
        exact = model
    del model
    images, labels = torch.randn(int(batch), 3, 224, 224), torch.arange(int(batch))
    with torch.inference_mode():
        exact(images[:1])  # weights are prepared once
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what calibration freed
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    if work == "step":
        train_step(exact, images, labels)
    else:
        with torch.inference_mode():
            exact(images)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) - resident)


def check_loop(loop: PlainLoop) -> None:
    """The reference of the benchmark is itself checked, against NumPy."""
    rng = np.random.default_rng(2)
    a, w = operands(rng, 1, 5, 9), operands(rng, 1, 9, 4)
    table = cell("mitchell8s").table
    wanted = slow_loop(a.numpy().view(np.uint8), w.numpy().view(np.uint8), table.astype(np.int64))
    assert np.array_equal(loop(a, w, torch.tensor(table)), wanted)


def emulation() -> dict[str, Any]:
    """All figures."""
    loop = PlainLoop()
    check_loop(loop)
    return {
        "products": [
            row
            for threads in (1, 2)
            for title, shape in (LINEAR | ATTENTION).items()
            for row in product(loop, title, shape, threads)
        ],
        "without_compiler": [row for threads in (1, 2) for row in without_compiler(loop, threads)],
        "models": [row for threads in (1, 2) for row in whole_model("deit_tiny_patch16_224", 8, threads)],
        "memory": peak_memory("deit_tiny_patch16_224", 8) if Path("/proc/self/clear_refs").exists() else [],
    }


if __name__ == "__main__":
    show_peak(*sys.argv[1:])
