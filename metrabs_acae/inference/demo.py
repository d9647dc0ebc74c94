"""Photographs in, pictures of their poses out: the exported model as a command-line user sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
PREFERRED_SKELETONS = ("smpl+head_30", "h36m_17", "h36m_25", "smpl_24")


def run_demo(
    saved_model_path,
    inputs: Sequence[str],
    *,
    boxes: str | Sequence | Mapping | None = None,
    out_dir="demo",
    skeleton: str = "",
    intrinsics: str | Sequence[float] | None = None,
    fov_degrees: float = 55.0,
    num_aug: int = 1,
    detector_threshold: float = 0.3,
    log=print,
) -> list[dict]:
    """Estimates and draws the poses of photographs.

    For each photograph `NAME.EXT`, `out_dir` gets `NAME.overlay.png` (2D), `NAME.views.png` (2D, and 3D from three
    sides) and `NAME.json` (boxes, joint names, poses). A photograph without people is a normal result.

    Args:
        saved_model_path: folder written by `export_saved_model`.
        inputs: image files or folders of them.
        boxes: "LEFT,TOP,WIDTH,HEIGHT[;...]" or a list of boxes for every photograph; or a JSON file or dict
            {photograph name: [[left, top, width, height], ...]}; None: the model's detector.
        skeleton: one of the model's; "": the first usual one that it has.
        intrinsics: "FX,FY,CX,CY" px or four numbers; None: from `fov_degrees` along the larger side.

    Returns:
        what the JSON files hold, in order.

    Raises:
        UserError: on a missing or broken file, an unknown skeleton, boxes that cannot be read, no detector.
    """
    files = find_images(inputs)
    boxes = parse_boxes(boxes)
    camera = parse_intrinsics(intrinsics)
    model = load_saved_model(saved_model_path)
    skeleton = choose_skeleton(model, skeleton)
    has_detector = hasattr(model, "detect_poses")
    if boxes is None and not has_detector:
        raise UserError(
            f"{saved_model_path} has no detector; give the people's boxes with --boxes LEFT,TOP,WIDTH,HEIGHT[;...]."
        )
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    names = [n.decode() for n in model.per_skeleton_joint_names[skeleton].numpy()]
    edges = model.per_skeleton_joint_edges[skeleton].numpy()
    settings = {"skeleton": skeleton, "num_aug": num_aug, "default_fov_degrees": float(fov_degrees)}
    if camera is not None:
        settings["intrinsic_matrix"] = camera

    results = []
    for path, stem in zip(files, unique_stems(files), strict=True):
        start = time.perf_counter()
        image = read_image(path)
        poses = _poses_of(model, image, boxes_for(boxes, path), detector_threshold, settings)
        seconds = time.perf_counter() - start
        _write_pictures(out_dir / stem, image, poses, edges)
        record = {
            "image": path.name,
            "skeleton": skeleton,
            "joint_names": names,
            "edges": edges.tolist(),
            **{k: np.round(v.astype(float), 3).tolist() for k, v in poses.items()},
        }
        (out_dir / f"{stem}.json").write_text(json.dumps(record))
        n_people = len(poses["poses3d"])
        log(f"{path.name}: {n_people} {'person' if n_people == 1 else 'people'}, {seconds:.2f} s")
        results.append(record)
    log(f"Wrote pictures and poses to {out_dir}")
    return results


def load_saved_model(path):
    """The exported model; UserError if the folder holds none."""
    import tensorflow as tf

    if not (Path(path) / "saved_model.pb").exists():
        raise UserError(f"{path} is not an exported model: it has no saved_model.pb; write one with --export.")
    return tf.saved_model.load(str(path))


def choose_skeleton(model, name: str) -> str:
    """`name` if the model has it; for "" the first usual skeleton that it has, else all joints."""
    known = list(model.per_skeleton_joint_names)
    if name and name not in known:
        raise UserError(f"The model has no skeleton '{name}'; it has: {', '.join(n for n in known if n)}.")
    if name:
        return name
    usual = [n for n in PREFERRED_SKELETONS if n in known]
    return (usual or [n for n in known if n] or [""])[0]


def find_images(inputs: Iterable[str]) -> list[Path]:
    """Image files, and those inside the folders named, sorted."""
    found = []
    for item in map(Path, inputs):
        if item.is_dir():
            inside = sorted(p for p in item.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise UserError(f"The folder {item} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
            found += inside
        elif item.exists():
            found.append(item)
        else:
            raise UserError(f"{item} does not exist; give image files or folders of images.")
    if not found:
        raise UserError("No photograph was named; give image files or folders of images.")
    return found


def unique_stems(files: Sequence[Path]) -> list[str]:
    """Output names: the file's stem, numbered where two files share it."""
    seen: dict[str, int] = {}
    stems = []
    for path in files:
        n = seen[path.stem] = seen.get(path.stem, 0) + 1
        stems.append(path.stem if n == 1 else f"{path.stem}_{n}")
    return stems


def read_image(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 RGB, turned upright by its EXIF orientation."""
    import cv2

    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if image is None:
        raise UserError(f"{path} cannot be read as an image; it may be damaged or of an unknown format.")
    return image


def parse_boxes(boxes):
    """Arrays [P, 4] by photograph name, one array for every photograph, or None."""
    if boxes is None or (isinstance(boxes, str) and not boxes.strip()):
        return None
    if isinstance(boxes, str) and not boxes.lower().endswith(".json"):
        try:
            boxes = [[float(v) for v in box.split(",")] for box in boxes.split(";") if box.strip()]
        except ValueError:
            raise UserError(
                f"Boxes {boxes!r} cannot be read; expected LEFT,TOP,WIDTH,HEIGHT[;...] or a JSON file."
            ) from None
    elif isinstance(boxes, str):
        try:
            boxes = json.loads(Path(boxes).read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"The boxes file {boxes} cannot be read as JSON: {error}.") from None
    if isinstance(boxes, Mapping):
        return {name: _box_array(value, name) for name, value in boxes.items()}
    return _box_array(boxes, "every photograph")


def _box_array(boxes, whose: str) -> np.ndarray:
    try:
        array = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        array = np.zeros([0, 0, 0])
    if array.size == 0 and array.ndim <= 2:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] < 4:
        raise UserError(f"The boxes of {whose} must be a list of [left, top, width, height] in pixels.")
    array = array[:, :4]
    if not np.isfinite(array).all() or (array[:, 2:] <= 0).any():
        raise UserError(
            f"The boxes of {whose} must be finite, with positive width and height: left, top, width, height."
        )
    return array


def boxes_for(boxes, path: Path):
    """The boxes of one photograph, or None for the detector."""
    if isinstance(boxes, dict):
        for name in (str(path), path.name, path.stem):
            if name in boxes:
                return boxes[name]
        raise UserError(f"The boxes file has no entry '{path.name}'; it needs one for each photograph.")
    return boxes


def parse_intrinsics(intrinsics):
    """[1, 3, 3] float32, or None."""
    if intrinsics is None or (isinstance(intrinsics, str) and not intrinsics.strip()):
        return None
    try:
        values = [float(v) for v in (intrinsics.split(",") if isinstance(intrinsics, str) else intrinsics)]
        fx, fy, cx, cy = values
    except (TypeError, ValueError):
        raise UserError(f"Intrinsics {intrinsics!r} cannot be read; expected FX,FY,CX,CY in pixels.") from None
    if not np.isfinite(values).all() or fx <= 0 or fy <= 0:
        raise UserError(f"Intrinsics {intrinsics!r} must be finite, with positive focal lengths.")
    return np.array([[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]], np.float32)


def _poses_of(model, image, boxes, detector_threshold, settings) -> dict[str, np.ndarray]:
    if boxes is None:
        result = model.detect_poses(image, detector_threshold=detector_threshold, **settings)
        return {k: v.numpy() for k, v in result.items()}
    result = model.estimate_poses(image, boxes, **settings)
    return {"boxes": boxes, **{k: v.numpy() for k, v in result.items()}}


def _write_pictures(stem: Path, image, poses, edges) -> None:
    import cv2

    from metrabs_acae.visualization import overlay

    colors = overlay.pose_colors(len(poses["poses2d"]))
    drawn = overlay.draw_boxes(image, poses["boxes"], colors=colors)
    for pose, color in zip(poses["poses2d"], colors, strict=True):
        drawn = overlay.draw_pose_2d(drawn, pose, edges, color=color)
    views = overlay.figure_pose_views(image, poses["poses2d"], poses["poses3d"], edges, boxes=poses["boxes"])
    for suffix, picture in (("overlay", drawn), ("views", views)):
        cv2.imwrite(f"{stem}.{suffix}.png", picture[..., ::-1])
