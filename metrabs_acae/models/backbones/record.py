"""What a backbone is: a record of how it is built, what its input looks like, and where weights come from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metrabs_acae.errors import UserError

if TYPE_CHECKING:
    import keras

    Network = Callable[[int], keras.Model]
    """Side of the square crops in px -> a network from scaled images [B, side, side, 3] to features [B, h, w, C]."""


@dataclass(frozen=True)
class Scaling:
    """What a network expects, from RGB in [0, 1]: (scale * x - mean) / std, channels reversed if `bgr`."""

    scale: float = 2.0
    mean: tuple[float, float, float] = (1.0, 1.0, 1.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


UNIT_RANGE = Scaling()
"""[-1, 1]"""
AS_IS = Scaling(1.0, (0.0, 0.0, 0.0))
"""[0, 1]"""
STANDARDIZED = Scaling(1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet."""
CAFFE = Scaling(255.0, (103.939, 116.779, 123.68), bgr=True)


class WeightsMissing(UserError):
    """Weights that are not at hand on this machine; the message says how to get them."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network that can be the trunk of a pose model. `register_backbone` gives it a name.

    Attributes:
        network: side of the crops -> the network without pooling and classifier, with random weights. The side of its
            feature map must divide that of the crop: their ratio is the stride.
        scaling: what it expects of its input.
        padding: how its cells are made to look where `heatmap_to_image` says.
            "symmetric": every strided layer is padded alike on both sides, and the last one shifted for a centred
            stride. This changes what a network with weights computes at the border, which it learns when trained
            through and through.
            "own": the network stays as it is; the picture in front of it is shifted.
        cells_at: padding "own" only: the pixel that cell 0 looks at, so that cell i looks at stride * i + cells_at.
            It is measured by gradient (`tests/models/conformance.py`); Keras's own "same" convolutions have
            stride - 1.
        weights: where weights come from, by name: functions like `network`, but with the weights; they raise
            `WeightsMissing` if those are not at hand. "pretrained" stands for the first that are.
        read: (file, side of the crops) -> network with the file's weights; None: a Keras weights file.
        constrained: whether the norms of kernels are limited, except those of squeeze-and-excite.
        n_exact: how many of the features, from the first on, look where the cell is said to look; the others come from
            coarser maps and look somewhere near. None: all.
        size_multiple: the side of the crops must be a multiple of it, px.
    """

    network: Network
    scaling: Scaling = UNIT_RANGE
    padding: Literal["symmetric", "own"] = "symmetric"
    cells_at: int | None = None
    weights: Mapping[str, Network] = field(default_factory=dict)
    read: Callable[[Path, int], keras.Model] | None = None
    constrained: bool = False
    n_exact: int | None = None
    size_multiple: int = 32

    def __post_init__(self):
        if (self.padding == "own") != (self.cells_at is not None):
            raise UserError(
                "A backbone needs cells_at, the pixel that its first cell looks at, with padding 'own', and only then."
            )


def package_file(package: str, file: str, how_to_get: str) -> Path:
    """The path of a file that an installed Python package brings; `WeightsMissing` ends with `how_to_get`."""
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder) / file).is_file():
            return path
    raise WeightsMissing(f"{file} of the package {package} is not installed: {how_to_get}")


def asset(file: str) -> Path:
    """The path of weights that are part of this project, in metrabs_acae/models/backbones/assets/."""
    path = Path(__file__).parent / "assets" / file
    if not path.is_file():
        raise WeightsMissing(f"{path} is missing: install this project anew.")
    return path
