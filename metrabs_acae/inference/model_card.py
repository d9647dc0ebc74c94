"""The model card that travels with an exported model: what it is, how to call it, what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from metrabs_acae import tables
from metrabs_acae.skeletons import Skeleton

SKELETONS_FILE = "skeletons.json"


def render_card(
    *,
    image_size: int,
    skeletons: Mapping[str, Skeleton],
    has_detector: bool,
    has_entropy: bool = False,
    has_error_map: bool = False,
    n_known_bones: int = 0,
    parity: str = "",
    portable: Sequence[str] = (),
    more: Mapping,
) -> str:
    """The model card, Markdown.

    Args:
        n_known_bones: how many bones the plausibility filter checks.
        parity: the report on the ONNX and LiteRT files of the network; "": there are none.
        portable: names of the files in `portable/`.
        more: further sections by title: text, a list of tables' rows (dicts), or anything that JSON can hold.
    """
    methods = "`estimate_poses`, `estimate_poses_batched`"
    if has_detector:
        methods += ", `detect_poses`, `detect_poses_batched`"
        bones = f"the lengths of {n_known_bones} bones" if n_known_bones else "no bone lengths (none were given)"
        methods += f". The filter of implausible poses checks {bones}, box and agreement of the augmentations"
    else:
        methods += " (exported without a detector: the caller gives the people's boxes)"
    listed = [
        {"name": f"`{n or '(empty)'}`", "joints": s.n_joints, "edges": len(s.edges)} for n, s in skeletons.items()
    ]
    table = tables.render(listed, "markdown")
    sections = _crop_model_section(parity) if parity else ""
    sections += _portable_section(portable) if portable else ""
    sections += "".join(f"\n## {_title(key)}\n\n{_section(value)}\n" for key, value in more.items())
    uncertainty = "the error to expect" if has_error_map else "the spread over the test-time augmentations"
    entropy = (
        'result["entropy"]  # [people, joints], 0 to 1: how undecided the network is about each joint\n'
        if has_entropy
        else ""
    )
    return f"""# Model card

Absolute 3D human poses from one RGB image. Load it with TensorFlow alone:

```python
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

model = tf.saved_model.load("path/of/this/folder")
image = np.array(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB"))
result = model.estimate_poses(image, boxes=tf.constant([[100.0, 50.0, 200.0, 400.0]]))
result["poses3d"]  # [people, joints, 3], mm, x right, y down, z away from the camera
result["poses2d"]  # [people, joints, 2], px
result["uncertainty"]  # [people, joints], mm: {uncertainty}
{entropy}```

Methods: {methods}. For crops: `crop_model.predict_multi` ({image_size} x {image_size} px).
Images are uint8 RGB with values from 0 to 255.

## Skeletons

{table}

Joint names: `model.per_skeleton_joint_names[name]`, or `{SKELETONS_FILE}`.
{sections}
## Use and limits

Check the licences of the datasets that the model was trained on before you use it commercially. Poses of people who
are mostly hidden, very small, or far from the poses of the training data are unreliable. Do not use it to identify
or to judge people.
"""


def _crop_model_section(parity: str) -> str:
    return f"""
## Without TensorFlow

`crop_model/` holds the network for ONNX or LiteRT with fixed shapes, and `numpy_runtime`, which does all around it with
NumPy alone:

```python
import sys

sys.path.insert(0, "path/of/this/folder/crop_model")
from numpy_runtime import PoseEstimator

result = PoseEstimator("path/of/this/folder/crop_model", "onnx").estimate_poses(image, boxes)
```

Compared with TensorFlow when it was written (largest difference of any joint; each with its own number of threads):

```
{parity}
```
"""


def _portable_section(files: Sequence[str]) -> str:
    detector = (
        "\n`detector.onnx` finds the people (inputs `image`, `detector_threshold`, usually 0.3, and "
        "`detector_nms_iou_threshold`, usually 0.7;\noutputs `boxes` [people, 4] and `scores`).\n"
        if "detector.onnx" in files
        else ""
    )
    return f"""
## From picture to poses in one file

`portable/` holds {", ".join(f"`{name}`" for name in files)}. The `pose` files do the whole way, for any language:
inputs `image` [height, width, 3] uint8, `boxes` [people, 4], `intrinsic_matrix` [3, 3] (all -1: unknown),
`distortion_coeffs` [12], `world_up_vector` [3] (0, -1, 0: the camera is held level), `num_aug` (int32 scalar, usually
1); outputs as above for all joints. Where the joints of a skeleton are among them, `portable.json` says. Wrong boxes
and cameras give NaN.
{detector}
With these files the model also runs in the browser: `--export --web FOLDER` writes the page.
"""


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _section(value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and value and all(isinstance(row, Mapping) for row in value):
        return tables.render(value, "markdown")
    if isinstance(value, Mapping | list | tuple):
        return f"```json\n{json.dumps(value, indent=1, default=str)}\n```"
    return str(value)
