"""What a cell will do to the loss, predicted layer by layer from gradients kept beside a few images' codes."""

import torch

from .layers.mixed import EXACT_GRID
from .layers.table_layer import Cells, TableLayer


def predicted_damage(layer: TableLayer, grid: Cells) -> float:
    """Predicted rise of the loss (nats an image) when this layer alone uses ``grid``.

    With d the change of the layer's outputs on the sample that calibration kept, and g the gradient of
    the loss of labels drawn from the model's own distribution, E[(g . d)^2] / 2 is the second-order
    term of the expansion of the loss (Fisher information as Hessian), correlations included.
    """
    gradient, codes, stationary = layer.sample.gradient, layer.sample.codes, layer.sample.stationary
    if gradient is None or codes is None or stationary is None:
        raise ValueError(f"layer {layer.path!r} is not calibrated")
    with torch.no_grad():
        error = layer.multiply(codes, stationary, grid) - layer.multiply(codes, stationary, EXACT_GRID)
        mean = torch.from_numpy(layer.error_moments(grid)[0]).to(error.device)
        change = (error - mean).float() * layer.product_scale()
        return float(0.5 * (layer.sample.by_image(gradient * change).sum(1) ** 2).mean())
