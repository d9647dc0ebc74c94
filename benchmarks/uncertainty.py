"""What errors a model's joints may have, fitted and tested.

    python -m benchmarks.uncertainty --calibrate --video pose2sim-0.10.49-py3-none-any.whl --write

Rendered people of known pose (the test split of `box-wild`: people and motions that are in no training) are posed, one
crop each. With `--calibrate` the first half of them makes the error map of the run folder (error_map.json:
the errors to expect by the heatmaps' entropies). The second half and the real video (docs/evaluation.md) test it.
Errors are about the middle of the person's joints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks import real_views
from benchmarks.pages import made_by
from benchmarks.real_people import JOINTS, joint_names
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.uncertainty"
RESULTS = Path(__file__).parent / "results" / "uncertainty.md"
NOTE = (
    "Correlation: Spearman's, of a joint's expected and true error. Over joints: of all joints of all people together; "
    "within a joint: the mean over the joints of the correlation over people; over people: of the means over a "
    "person's joints. Entropy: the same of the heatmap's entropy alone. Covered: the share of errors below the "
    "expected one, which should be 68 %, and below twice of it."
)


@settings
class Settings:
    """Errors that a model expects of its joints."""

    model: str = setting("pretrained")
    """A run folder or 'pretrained'."""
    calibrate: bool = setting(False)
    """Write the run folder's error map first."""
    people: int = setting(400, at_least=20)
    """Rendered people; the first half of them for the map."""
    video: str = setting("")
    """The wheel of pose2sim 0.10.49 or a folder with its videos; empty: rendered people only."""
    write: bool = setting(False)
    """Write the tables to benchmarks/results/uncertainty.md."""


def rendered(n: int) -> Iterator[tuple[np.ndarray, object, tuple[str, ...]]]:
    """Pictures, a person's labels in it, and the names of the joints."""
    from data_processing.synthetic import scene
    from data_processing.synthetic.box import BOX

    spec = BOX["box-wild"]
    for index in range(n):
        image, rows = scene.make_example(spec, "test", index, seed=1)
        yield image, rows[0], spec.skeleton.joint_names


def posed(estimator, image, box, camera: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses [J, 3] mm in the camera's frame, uncertainty [J] and entropy [J]."""
    result = estimator.estimate_poses(image, np.float32(box)[np.newaxis], num_aug=1, **camera)
    return tuple(np.asarray(result[key])[0].astype(np.float64) for key in ("poses3d", "uncertainty", "entropy"))


def errors_of(poses: np.ndarray, true: np.ndarray) -> np.ndarray:
    """[J] about the middle of the known joints."""
    off = poses - true
    return np.linalg.norm(off - np.nanmean(off, axis=0), axis=-1)


def rendered_errors(estimator, names: tuple[str, ...], n: int):
    """(errors, uncertainty, entropy), [N, J] each, of all joints."""
    from data_processing import cameras

    found = []
    for image, row, labelled in rendered(n):
        camera = row.camera
        index = [labelled.index(name) for name in names]
        lens = {
            "intrinsic_matrix": np.float32(camera.K)[np.newaxis],
            "world_up_vector": np.float32(camera.R @ [0, 0, 1]),
        }
        lens["distortion_coeffs"] = np.float32(camera.lens.estimator_coefficients)[np.newaxis]
        poses, uncertainty, entropy = posed(estimator, image, row.box_ltwh_px, lens)
        true = cameras.to_camera(camera, np.asarray(row.coords, np.float64)[index])
        found.append((errors_of(poses, true), uncertainty, entropy))
    return tuple(np.stack(x) for x in zip(*found, strict=True))


def real_errors(estimator, names: tuple[str, ...], wheel: Path):
    """The same of the 12 joints of the real video, every fifth frame of each camera."""
    found = []
    for view in real_views.video_views(wheel):
        if not view.measured:
            continue
        index = [names.index(name) for name in joint_names(view, names)]
        camera = {"intrinsic_matrix": np.float32(view.intrinsics)[np.newaxis], "world_up_vector": np.float32(view.up)}
        camera["distortion_coeffs"] = np.float32(view.distortion)[np.newaxis]
        poses, uncertainty, entropy = (x[index] for x in posed(estimator, view.image, view.box, camera))
        true = view.coords3d_mm[[[n.split("_")[0] for n in view.joint_names].index(j) for j in JOINTS]]
        found.append((errors_of(poses, true), uncertainty, entropy))
    return tuple(np.stack(x) for x in zip(*found, strict=True))


def row_of(name: str, errors, uncertainty, entropy) -> dict:
    def correlations(expected):
        known = np.isfinite(errors)
        within = [spearmanr(expected[k, j], errors[k, j])[0] for j, k in enumerate(known.T) if k.sum() > 10]
        people = spearmanr(np.where(known, expected, np.nan).mean(1), np.nanmean(errors, 1), nan_policy="omit")[0]
        return spearmanr(expected[known], errors[known])[0], np.nanmean(within), people

    columns = ("over joints", "within a joint", "over people")
    row = {"people": name, "n": len(errors), "mean error": float(np.nanmean(errors))}
    row |= {c: f"{new:.2f} ({old:.2f})" for c, new, old in
            zip(columns, correlations(uncertainty), correlations(entropy), strict=True)}  # fmt: skip
    covered = [100 * np.mean(errors[np.isfinite(errors)] < (k * uncertainty)[np.isfinite(errors)]) for k in (1, 2)]
    return row | {"covered": f"{covered[0]:.0f} %", "by twice": f"{covered[1]:.0f} %"}


def run(arguments: list[str]) -> None:
    from metrabs_acae.commands import models
    from metrabs_acae.commands.export import estimator_of
    from metrabs_acae.inference import error_map
    from metrabs_acae.training.run_folder import open_run

    values = parse(Settings, arguments, PROGRAM, description=__doc__)
    folder = open_run(values.model)
    pose_model, skeleton, _ = models.load_pose_model(folder)
    names = skeleton.joint_names
    errors, uncertainty, entropy = rendered_errors(estimator_of(folder), names, values.people)
    half = values.people // 2
    if values.calibrate:
        found = error_map.fit(names, entropy[:half], errors[:half], weights=error_map.fingerprint(pose_model))
        found.save(folder.path / error_map.FILE)
        print(f"Wrote {folder.path / error_map.FILE}")
        uncertainty = found(entropy)
    rows = [row_of("rendered", errors[half:], uncertainty[half:], entropy[half:])]
    if values.video:
        rows.append(row_of("real video", *real_errors(estimator_of(folder), names, Path(values.video))))
    headers = {c: f"{c} (entropy)" for c in ("over joints", "within a joint", "over people")}
    text = render(rows, "markdown", headers=headers, digits={"mean error": 0})
    print(text)
    if values.write:
        RESULTS.write_text(f"# Uncertainty\n\n{made_by(PROGRAM, arguments)}\n\n{NOTE}\n\n{text}\n")


def main() -> int:
    return exit_code(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
