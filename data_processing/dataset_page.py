"""docs/datasets.md: how to prepare data, and what the registry knows of every dataset."""

from __future__ import annotations

from data_processing.commands.list import describe, tested
from data_processing.dataset_info import DatasetInfo
from data_processing.registry import DATASETS

INTRODUCTION = """# Datasets

Each dataset becomes a *pose store* by one command. No data comes with this project and none is redistributed: every
dataset has its own licence, which you accept with its authors.

```bash
python -m data_processing list                        # all datasets
python -m data_processing list --name panoptic        # all that is known of one
```

This page is made by `python -m data_processing skeletons --docs docs`. The paper's mixtures are trained by
`python -m metrabs_acae.main --train --preset paper-full` (or `paper-medium`, `paper-small`) from stores of these names
in `pose-stores/`; it lists those that are missing.

## From raw files to a store
1. **Get the raw files.** `python -m data_processing download NAME --out DIR` fetches what may be fetched without
   registration (an interrupted download goes on where it was; archives are unpacked safely) and prints the steps that
   only you can take. Archives fetched otherwise: `python -m data_processing unpack ARCHIVE... --out DIR`.
2. **Convert.** `python -m data_processing NAME --raw DIR --out STORE`. All cores work (`--workers`), memory stays
   constant, and the store appears only when it is complete. Stopped or killed, the same command goes on where it was.
   Missing or broken files are named at the end, after everything else has been converted; mend them and start the
   command again, or add `--skip-broken`. `--limit 2` converts two videos or sequences for a first look.
3. **Check.** `python -m data_processing verify STORE... --out REPORTS` writes a page with pictures for each store and
   exits with 1 if something is wrong.

## Person boxes and masks
Boxes come from the labels unless a detector is given, and most datasets have no masks of their own (masks let training
replace the background). Both are pluggable:

| flag | what it takes |
|---|---|
| `--detector json:FILE` | boxes made elsewhere, `{key: [[left, top, width, height, score], ...]}`, by `detect` |
| `--detector movenet` | the detector that comes with the project |
| `--detector ssdlite` | the small detector of the extra `[detector]` |
| `--detector onnx:FILE`, `savedmodel:DIR` | a network as inference takes it, or of the TF Object Detection API |
| `--segmenter masks:DIR` | PNG files named like the store's pictures; `segment` writes them |
| `--segmenter mediapipe`, `tflite:FILE` | MediaPipe's segmenter of a person, or such a network |
| `--segmenter onnx:FILE`, `savedmodel:DIR` | a network such as DeepLabv3 with the classes of Pascal VOC |

The paper's tools used YOLOv4 and a DeepLabv3. What does without a network of your own is `--detector movenet
--segmenter mediapipe`: `pip install 'metrabs_acae[export]'`, and for the segmenter the package mediapipe in a
version that holds it, up to 0.10 (its file `selfie_segmentation.tflite` alone will do). It expects one person, as the
crops show; where several stand close, a network for Pascal VOC's classes is the better choice. Datasets whose masks
come from a segmenter, and from nowhere else: SEGMENTED.

Detectors see whole frames. A frame's key is its file's path below the raw folder, for videos with the frame's number
behind it (`S1/Seq1/imageSequence/video_0.avi/000123`), as `python -m data_processing detect --root RAW --out FILE`
writes them. A mask's path is that of the store's picture, ending in `.png`.

## Backgrounds and occluders
The paper puts photographs of INRIA Holidays behind people and objects of Pascal VOC 2012 in front of them (without
them, generated pictures serve):

```bash
python -m data_processing download holidays --out holidays   # 2.7 GB
python -m data_processing backgrounds --root holidays/jpg --out backgrounds --detector movenet
python -m data_processing download voc --out voc             # 1.9 GB
```

`backgrounds` leaves out photographs with people in them. Then train with `--background-dir backgrounds --occluder-dir
voc/VOCdevkit/VOC2012`.

## Body models
SURREAL, BEHAVE, RICH, SPEC-SYN and EMDB give poses as parameters of SMPL or SMPL-X. The models' licences forbid passing
them on: register at their pages and put the files (`.npz`, or `.pkl` as they are) into a folder, by default
`body_models` in the raw folder, else the one that `--body-models DIR` names:

| model | page | files |
|---|---|---|
| SMPL | https://smpl.is.tue.mpg.de | `DIR/smpl/SMPL_{MALE,FEMALE,NEUTRAL}.{npz,pkl}` or their official names |
| SMPL-X | https://smpl-x.is.tue.mpg.de | `DIR/smplx/SMPLX_{MALE,FEMALE,NEUTRAL}.{npz,pkl}` |

`data_processing.smpl` reads these files and SMPL-H's without chumpy and without running a pickle; its `BodyModel` gives
joints, vertices and regressed points of any poses.

## What a conversion does
Each step is a command of its own as well: see [data-steps.md](data-steps.md).

- **Frames**: of training videos only those are kept in which the person has moved (mostly by 100 mm in some joint);
  see "frames kept" below. Test frames are never thinned out.
- **Reduced crops**: training stores hold, instead of frames, what a virtual camera without lens distortion sees that
  looks at the person: at most 384 px tall, with room for rotation, shift and zoom. The store's camera is that of the
  crop. Benchmark stores hold whole frames.
- **Impossible labels** are left out of training: fewer than four joints in the box, or a bone shorter than a tenth or
  longer than three times its mean and 150 mm off. The store's `store.json` counts what was left out and why.
"""

DAMAGES = (
    "frames shifted by one",
    "left and right swapped for 2,000 frames",
    "metres for millimetres",
    "R transposed",
    "focal length 1 % off",
    "another camera's calibration",
)
FOUND = {
    "joints": DAMAGES,
    "boxes": DAMAGES,
    "pictures": ("metres for millimetres", "R transposed", "focal length 1 % off", "another camera's calibration"),
    "fitted": ("left and right swapped for 2,000 frames", "metres for millimetres"),
    "": ("left and right swapped for 2,000 frames", "metres for millimetres", "R transposed"),
}
"""What the guards find of plausible damage, by `DatasetInfo.evidence`; the tests measure it."""


EVIDENCE = {
    "joints": "2D labels of the same joints",
    "boxes": "boxes or masks of frames in a row",
    "pictures": "boxes or masks of single pictures",
    "fitted": "2D labels to which the camera is fitted",
    "": "the camera and the size of the picture",
}
CHECKS = """## What a conversion checks
Labels that contradict each other stop a conversion before its pictures are read, with the file, the frames and the
likely cause: people of impossible size, left and right swapped for a while, nobody in the picture, 3D labels that do
not project onto the 2D labels or into the boxes of the same people. The causes that are tried are units, a frame too
early or late, swapped sides, the lens left out or of the other model, R transposed, t taken for the position or the
other way round, other axes (OpenGL's among them), the calibration of another camera, focal length, size of the picture,
principal point. `--allow-suspicious-data` converts all the same. What is known to be wrong in a dataset as published is
mended or left out, said at the start, and written into the store; `--as-published` leaves it. A mask that covers more
than 99 % of its crop is not stored, and a store of less than half of the examples that the paper's tools made of the
dataset is said to be one. What is found of plausible damage, by what there is to hold the 3D labels against:
"""
NOT_FOUND = """
Without 2D labels and boxes, a transposed R goes unnoticed where it is nearly its own transpose (a camera that looks
along an axis of the world). With a detector (`--detector`), its boxes serve where the dataset has none: then its row is
that of boxes (of single pictures for HUMBI). Labels and pictures that are shifted against each other although the 2D
and the 3D labels agree are found by boxes or masks only.
"""
MANUAL = """## Manual work
What to ask for and what it takes, for the datasets of the paper's mixtures. Crops take 0.07 s of one processor core
each (measured; with 16 cores 1.2 hours per million) and 77 KB of disk (the paper's 1 TB for 13 million); decoding takes
a core 1 s for 150 frames of 1920 x 1080. Where files go is the "raw layout" of each dataset below. Without a dataset,
train with `--allow-missing-stores`: the others take its places in the batch, and joints that nobody else labels are
missing in the output.

| name | ask for | raw files | store | hours, 16 cores | the release lacks | without it |
|---|---|---|---|---|---|---|
"""


def check_table() -> list[str]:
    """Which damage is found by which evidence, and which datasets have it."""
    lines = ["| held against | " + " | ".join(DAMAGES) + " | datasets |", "|---" * (len(DAMAGES) + 2) + "|"]
    for evidence, text in EVIDENCE.items():
        marks = ["found" if damage in FOUND[evidence] else "-" for damage in DAMAGES]
        names = [f"`{d.name}`" for d in DATASETS.values() if d.store_kind == "3d" and d.evidence == evidence]
        lines.append(f"| {text} | " + " | ".join(marks) + f" | {', '.join(names)} |")
    return lines


def manual_row(info: DatasetInfo) -> str:
    """What a person must do to get a dataset, and what it costs to go without."""
    steps = info.steps or f"Nothing: `python -m data_processing download {info.name} --out DIR`."
    crops = info.n_examples
    store = f"{crops * 77e3 / 1e9:.0f} GB" if crops else "-"
    hours = f"{crops * 0.07 / 3600 / 16:.1f}" if crops else "-"
    cells = (f"`{info.name}`", steps, info.disk or "not stated", store, hours, info.lacking or "-", without(info))
    return "| " + " | ".join(cells) + " |"


def without(info: DatasetInfo) -> str:
    """The share of the batch that others take over, and how many of the joints nobody else labels."""
    n, whole = (info.batch[0], 96) if info.role == "3d" else (info.batch[0], 32)
    others = {
        j for d in DATASETS.values() if d.role == info.role and d is not info for j in d.get_skeleton().joint_names
    }
    lost = [j for j in info.get_skeleton().joint_names if j not in others]
    joints = f"{len(lost)} joints less" if lost and info.role == "3d" else "no joint less"
    return f"{n} of {whole} places; {joints}"


def page() -> str:
    segmented = ", ".join(f"`{d.name}`" for d in DATASETS.values() if d.masks.startswith("segmentation"))
    lines = [INTRODUCTION.replace("SEGMENTED", segmented), "## Overview", ""]
    lines += ["| name | dataset | year | kind | skeleton | per batch | converter |", "|---|---|---|---|---|---|---|"]
    for info in DATASETS.values():
        batch = "/".join(map(str, info.batch)) if any(info.batch) else "-"
        skeleton = f"{info.skeleton} ({info.get_skeleton().n_joints})"
        kind = f"{info.kind}" + ("" if info.role == "3d" else f" ({info.role})")
        ready = "yes" if info.converter else "not yet"
        lines.append(
            f"| `{info.name}` | [{info.title}]({info.url}) | {info.year} | {kind} | {skeleton} | {batch} | {ready} |"
        )
    lines += ["", "Per batch: examples in the paper's full (28 datasets), medium (14) and small (3) mixtures.", ""]
    lines += [MANUAL + "\n".join(manual_row(d) for d in DATASETS.values() if d.role in ("3d", "2d")), ""]
    lines += [CHECKS, *check_table(), NOT_FOUND]
    lines += ["## What the converters were tested on", "", "| name | licence | joints | tested on | known limits |"]
    lines += ["|---|---|---|---|---|"]
    for info in DATASETS.values():
        checked = tested(info) if info.converter else "no converter yet"
        joints = info.get_skeleton().n_joints
        lines.append(f"| `{info.name}` | {info.licence} | {joints} | {checked} | {info.limits or '-'} |")
    lines.append("")
    for info in DATASETS.values():
        title, _, rest = describe(info).partition("\n")
        lines += [f"## {title}", "", "```text", rest.strip("\n"), "```", ""]
    return "\n".join(lines).rstrip() + "\n"
