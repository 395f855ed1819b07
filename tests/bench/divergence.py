"""How many images the divergence from exact int8 and the loss of top-1 need for the same relative error.

    python -m tests.bench.divergence

prints, for uniform cells of different strength on the shipped ViT, both with their standard errors on each set of
shipped images. The images needed go with the square of the relative error, so their ratio is that of these squares.
"""

import numpy as np

from slipstick.flow.job.workbench import load_images, open_workbench
from slipstick.model.convert import assign_
from slipstick.model.data import Images
from slipstick.model.divergence import kl_divergence
from slipstick.model.evaluate import logits
from slipstick.model.paired import Paired
from slipstick.model.zoo import load_model

CELLS = ("truncated_magnitude8s_k6_c2", "evolved8s_b60_mae75", "truncated8s_k6", "evolved8s_b60_mae140",
         "evolved8s_b60_mae250")  # fmt: skip
TESTED = 4000


def main() -> None:
    """Measure and print, set by set."""
    loaded = load_model()
    images = load_images(None, None, loaded, TESTED)
    sets: dict[str, Images] = {"search": images.search, "validation": images.validation, "test": images.test}
    bench = open_workbench(loaded=loaded, images=images, judge_test=False)
    exact = {name: logits(bench.loaded, some) for name, some in sets.items()}
    print(f"{'cell':30} {'images':>16} {'points lost':>16} {'nats':>18} {'nats a loss of 1':>18} {'images, ratio':>14}")
    for cell in CELLS:
        assign_(bench.loaded.module, {"default": cell})
        for name, some in sets.items():
            found = logits(bench.loaded, some)
            right = [values.argmax(1).cpu().numpy() == some.labels for values in (exact[name], found)]
            loss, nats = Paired.of(*right), kl_divergence(exact[name], found).numpy()
            error = float(nats.std() / np.sqrt(len(nats)))
            ratio = (loss.standard_error / abs(loss.loss) / (error / nats.mean())) ** 2 if loss.loss else np.inf
            print(
                f"{cell:30} {f'{name} {len(some)}':>16} "
                f"{f'{100 * loss.loss:.2f} +- {100 * loss.standard_error:.2f}':>16} "
                f"{f'{nats.mean():.4f} +- {error:.4f}':>18} "
                f"{nats.mean() / loss.loss if loss.loss else np.inf:>18.2f} {ratio:>14.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
