"""`python -m experiments.error_map --model RUN`: the errors to expect of a model's joints, by the heatmaps' entropies.

Rendered people of known pose (the test split of `box-wild`: people and motions that are in no training) are posed, one
crop each, and a curve is fitted for each joint. It goes to error_map.json in the run folder, where inference and export
find it; `python -m benchmarks.uncertainty` tests it on other people. Errors are about the middle of a person's joints.
"""

from __future__ import annotations

import sys

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments.error_map"
PEOPLE = 200


@settings
class Settings:
    """Fits the errors that a model expects of its joints."""

    model: str = setting("pretrained")
    """A run folder or 'pretrained'."""
    people: int = setting(PEOPLE, at_least=10)
    """Rendered people."""


def posed(estimator, image, box, camera: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses [J, 3] mm in the camera's frame, uncertainty [J] and entropy [J]."""
    result = estimator.estimate_poses(image, np.float32(box)[np.newaxis], num_aug=1, **camera)
    return tuple(np.asarray(result[key])[0].astype(np.float64) for key in ("poses3d", "uncertainty", "entropy"))


def errors_of(poses: np.ndarray, true: np.ndarray) -> np.ndarray:
    """[J] about the middle of the known joints."""
    off = poses - true
    return np.linalg.norm(off - np.nanmean(off, axis=0), axis=-1)


def rendered_errors(estimator, joint_names: tuple[str, ...], numbers: range):
    """(errors, uncertainty, entropy), [N, J] each, of the rendered people with these numbers; errors of joints that
    they are not labelled with are NaN."""
    from data_processing import cameras
    from data_processing.synthetic import scene
    from data_processing.synthetic.box import BOX

    spec, found = BOX["box-wild"], []
    labelled = {name: i for i, name in enumerate(spec.skeleton.joint_names)}
    known = [name in labelled for name in joint_names]
    if not any(known):
        raise UserError("Rendered people are labelled with none of this model's joints.")
    index = [labelled.get(name, 0) for name in joint_names]
    for number in numbers:
        image, (row, *_) = scene.make_example(spec, "test", number, seed=1)
        camera = {
            "intrinsic_matrix": np.float32(row.camera.K)[np.newaxis],
            "distortion_coeffs": np.float32(row.camera.lens.estimator_coefficients)[np.newaxis],
            "world_up_vector": np.float32(row.camera.R @ [0, 0, 1]),
        }
        poses, uncertainty, entropy = posed(estimator, image, row.box_ltwh_px, camera)
        coords = np.where(np.array(known)[:, np.newaxis], np.asarray(row.coords, np.float64)[index], np.nan)
        true = cameras.to_camera(row.camera, coords)
        found.append((errors_of(poses, true), uncertainty, entropy))
    return tuple(np.stack(x) for x in zip(*found, strict=True))


def make(values: Settings) -> None:
    from metrabs_acae.commands import models
    from metrabs_acae.commands.export import estimator_of
    from metrabs_acae.inference import error_map
    from metrabs_acae.training.run_folder import open_run

    folder = open_run(values.model)
    pose_model, skeleton, _ = models.load_pose_model(folder)
    names = skeleton.joint_names
    errors, _, entropy = rendered_errors(estimator_of(folder), names, range(values.people))
    found = error_map.fit(names, entropy, errors, weights=error_map.fingerprint(pose_model))
    found.save(folder.path / error_map.FILE)
    print(f"Wrote {folder.path / error_map.FILE}")


def main(arguments: list[str] | None = None) -> int:
    return exit_code(
        lambda: make(parse(Settings, sys.argv[1:] if arguments is None else arguments, PROGRAM, description=__doc__))
    )


if __name__ == "__main__":
    sys.exit(main())
