"""What training, inference and export ask of every segmenter."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from cutis.errors import RecipeError
from cutis.models.mobilenet_v2 import MobileNetV2


class Segmenter(nn.Module, ABC):
    """Finds the lesion: normalised (batch, 3, height, width) to logits (batch, 1, height, width).

    A logit above 0 says that the pixel more likely belongs to the lesion than not. Raises
    RecipeError for a height or width that is no multiple of `stride`.

    Attributes:
        stride: how many pixels of the photo the coarsest pixel of the network stands for.
        encoder: where it is a backbone of its own, which `load_backbone` fills; None elsewhere.
    """

    stride: int
    encoder: MobileNetV2 | None

    def __init__(self) -> None:
        super().__init__()
        self.encoder = None

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        if height % self.stride or width % self.stride:
            below = max(min(height, width) // self.stride, 1) * self.stride
            raise RecipeError(
                f"the network cannot take photos of {width}x{height} pixels",
                expected=f"width and height in multiples of {self.stride}",
                fix=f"set input.size={below} or input.size={below + self.stride}",
            )
        return self.logits(pixels)

    @abstractmethod
    def logits(self, pixels: Tensor) -> Tensor:
        """The network itself; shapes as in `forward`."""
