"""The pose store: a directory with the annotations of one dataset, memory-mapped, and its image files.

`store.json` describes it; `annotations.h5` holds, per split, one contiguous dataset per column, so that a reader maps
the file and start-up does not grow with the number of examples; `images/` (or `images.barecat`) holds the pictures.
Strings and masks are stored end to end (`<column>.data`) with N + 1 positions (`<column>.start`).
"""

from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams, Example
from metrabs_acae.data.store_reader import PoseStore
from metrabs_acae.data.store_writer import PoseStoreWriter

__all__ = ["CameraParams", "Example", "Lens", "PoseStore", "PoseStoreWriter"]
