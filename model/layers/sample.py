"""What a layer on cells keeps of a run: operands, accumulators, and their gradient."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Sample:
    """A few images' operand codes of a layer, and the gradient of their loss by its accumulators' values.

    ``gradient`` has the shape of the accumulators: float32 [..., M, N]. A layer that runs several times
    in a forward pass keeps its first run. ``values`` and ``held`` are its operands in float, until ranges are chosen.
    """

    images: int = 0
    gradient: Tensor | None = None
    codes: Tensor | None = None
    stationary: Tensor | None = None
    values: Tensor | None = None
    held: Tensor | None = None

    def by_image(self, values: Tensor) -> Tensor:
        """Values [..., M, N] of the kept run as [images, all of one image].

        Images vary slowest in the first dimension, as in windows of images, or else have a dimension of
        their own. Values that do not come from single images count as one.
        """
        shape = list(values.shape)
        if shape[0] % self.images and self.images in shape[1:-1]:
            return values.movedim(shape.index(self.images, 1), 0).flatten(1)
        return values.reshape(1 if shape[0] % self.images else self.images, -1)


@dataclass(frozen=True)
class IntegerProduct:
    """One run of a layer: operand codes int8, accumulators int32 [..., M, N], and the scales that these had then.

    ``scale`` of the second operand's codes and ``unit`` of the accumulators, [N] or [1].
    """

    codes: Tensor
    stationary: Tensor
    accumulators: Tensor
    scale: Tensor
    unit: Tensor
