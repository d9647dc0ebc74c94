"""Networks of inverted bottlenecks with ReLU6 alone: EfficientNet-Lite, MobileNetV2, the encoder of BlazePose.

The three are one family. EfficientNet-Lite and MobileNetV2 have batch normalization and pad strided convolutions one
row more on the right and bottom (TensorFlow's "same"); in BlazePose's pose landmark networks it is folded into the
convolutions, and they pad alike on all sides. Either padding is kept, in layers of its own, so that the features are
those of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Block:
    """An inverted bottleneck: 1x1 convolution to `expanded` channels (None: there is none), depthwise, 1x1 to `out`.

    Its input is added where the stride is 1, there is an expansion and the channels agree.
    """

    kernel: int
    expanded: int | None
    out: int
    stride: int = 1


@dataclass(frozen=True)
class LiteNetwork:
    """The layers of a network.

    Attributes:
        stem: channels of the first 3x3 convolution, of stride 2.
        blocks: see `Block`.
        head: what follows them: a number is a 1x1 convolution to so many channels, "depthwise" a 3x3 depthwise one.
        folded: whether normalization is folded into kernels and biases; if not, it is batch normalization.
        symmetric: whether strided layers pad alike on all sides; if not, one row more on the right and bottom.
        stochastic_depth: block i of n is dropped with this probability times i / n, in training.
        coarser: how many residual blocks follow each further halving of the map of stride 32; its features and
            those of the coarser maps are put side by side.
        border: black pixels around the picture, (left and top, right and bottom), multiples of 32 in all. Cells that
            look at them are cut off.
    """

    stem: int
    blocks: Sequence[Block]
    head: Sequence[int | str]
    folded: bool
    symmetric: bool
    stochastic_depth: float = 0.0
    coarser: tuple[int, ...] = ()
    border: tuple[int, int] = (0, 0)

    @property
    def cells_cut_off(self) -> tuple[int, int]:
        """Cells of the map that look at the border: at left and top, at right and bottom."""
        before = -(-self.border[0] // 32)
        return before, sum(self.border) // 32 - before

    @property
    def cells_at(self) -> int:
        """The pixel that cell 0 of the map of stride 32 looks at: a stride that pads on one side adds its step."""
        return (0 if self.symmetric else 31) + 32 * self.cells_cut_off[0] - self.border[0]


def _rows(*rows: tuple[int, int, int | None, int, int]) -> tuple[Block, ...]:
    """Blocks from rows of (how many, kernel, expanded, out, stride)."""
    return tuple(Block(*block) for count, *block in rows for _ in range(count))


BLAZEPOSE = {
    "full": LiteNetwork(
        24,
        _rows(
            (1, 3, None, 16, 1),
            (1, 3, 64, 24, 2),
            (1, 3, 144, 24, 1),
            (1, 5, 144, 32, 2),
            (1, 5, 192, 32, 1),
            (1, 3, 192, 64, 2),
            (2, 3, 384, 64, 1),
            (1, 5, 384, 88, 1),
            (2, 5, 528, 88, 1),
            (1, 5, 528, 144, 2),
            (3, 5, 864, 144, 1),
        ),
        (864, "depthwise", "depthwise", 288),
        folded=True,
        symmetric=True,
    ),
    "heavy": LiteNetwork(
        24,
        _rows(
            (1, 3, None, 24, 1),
            (1, 3, 96, 32, 2),
            (1, 3, 128, 32, 1),
            (2, 3, 192, 32, 1),
            (1, 5, 192, 56, 2),
            (3, 5, 336, 56, 1),
            (1, 3, 336, 112, 2),
            (5, 3, 672, 112, 1),
            (1, 5, 672, 160, 1),
            (5, 5, 960, 160, 1),
            (1, 5, 960, 272, 2),
            (7, 5, 1632, 272, 1),
        ),
        (1632, "depthwise", "depthwise", 288),
        folded=True,
        symmetric=True,
    ),
}

BLAZEPOSE["full-multiscale"] = replace(BLAZEPOSE["full"], coarser=(4, 5), border=(16, 48))
"""With the maps of its landmark branch, and with the room around a person that it was trained with."""

# Kernel, expansion ratio, channels, stride and number of blocks of EfficientNet-B0's stages (ICML 2019, table 1).
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 2, 3),
    (5, 6, 112, 1, 3),
    (5, 6, 192, 2, 4),
    (3, 6, 320, 1, 1),
)


def efficientnet_lite(width: float, depth: float) -> LiteNetwork:
    """EfficientNet-Lite: stem, head and the number of blocks of the first and last stage are not scaled."""
    blocks, channels = [], 32
    for i, (kernel, ratio, out, stride, count) in enumerate(_STAGES):
        out = _scaled_channels(out, width)
        count = count if i in (0, len(_STAGES) - 1) else -int(-count * depth // 1)
        for k in range(count):
            blocks.append(Block(kernel, None if ratio == 1 else ratio * channels, out, stride if k == 0 else 1))
            channels = out
    return LiteNetwork(32, tuple(blocks), (1280,), folded=False, symmetric=False, stochastic_depth=0.2)


def _scaled_channels(channels, width):
    """A multiple of 8, at least 90 % of what was asked for."""
    scaled = max(8, int(channels * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * channels * width else scaled


EFFICIENTNET_LITE = {
    "lite0": efficientnet_lite(1.0, 1.0),
    "lite1": efficientnet_lite(1.0, 1.1),
    "lite2": efficientnet_lite(1.1, 1.2),
}

MOBILENET_V2 = LiteNetwork(
    32,
    _rows(
        (1, 3, None, 16, 1),
        (1, 3, 96, 24, 2),
        (1, 3, 144, 24, 1),
        (1, 3, 144, 32, 2),
        (2, 3, 192, 32, 1),
        (1, 3, 192, 64, 2),
        (3, 3, 384, 64, 1),
        (1, 3, 384, 96, 1),
        (2, 3, 576, 96, 1),
        (1, 3, 576, 160, 2),
        (2, 3, 960, 160, 1),
        (1, 3, 960, 320, 1),
    ),
    (1280,),
    folded=False,
    symmetric=False,
)
"""As `keras.applications.MobileNetV2` of width 1."""
