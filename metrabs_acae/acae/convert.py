"""Converting poses between skeletons: each joint is the best affine combination of the given ones."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.acae import pose_checks
from metrabs_acae.acae.autoencoder import Acae, combine
from metrabs_acae.acae.pose_arrays import (
    known_joints,
    read_pose_arrays,
    require_writable,
    skeleton_of,
    with_labels_of,
    write_pose_arrays,
)
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.body_size import likely_unit
from metrabs_acae.geometry.joint_moments import NOISE_MM, JointMoments, affine_weights
from metrabs_acae.joint_names import read_names
from metrabs_acae.skeletons import Skeleton, available_output_skeletons, output_skeletons, shown

MIN_JOINTS = 4
"""From fewer a pose cannot be guessed."""


def translate(
    poses: np.ndarray, from_: str | Sequence[str], to: str | Sequence[str], *, noise_mm: float = NOISE_MM
) -> np.ndarray:
    """[..., Ja, 3] poses of one skeleton -> [..., Jb, 3] poses of another, in the same frame and unit.

    Warns where the poses look odd, see `pose_checks.require_body`.

    Args:
        poses: joints that are NaN are missing, and what `known_joints` finds besides.
        from_, to: names of skeletons (``blazepose_33``), see `skeleton_joints`, or lists of joints (``lhip_coco``).
        noise_mm: how exact the given joints are, a distance; less for motion capture.

    Raises:
        UserError: unknown names, another number of joints, no 3D poses of a body of this skeleton.
    """
    model = JointMoments.load()
    from_joints, to_joints = (find_joints(model, n) if isinstance(n, str) else tuple(n) for n in (from_, to))
    poses = known_joints(np.asarray(poses), len(from_joints))
    converted = convert_poses(poses, model, from_joints=from_joints, to_joints=to_joints, noise_mm=noise_mm)
    for sentence in pose_checks.require_body(_some_whole(poses, from_joints, model), from_joints, model):
        warnings.warn(sentence, stacklevel=2)
    return converted


def convert_poses(
    poses: np.ndarray,
    acae: Acae | JointMoments,
    *,
    from_joints: Sequence[str],
    to_joints: Sequence[str],
    noise_mm: float = NOISE_MM,
) -> np.ndarray:
    """[..., Ja, D] poses of one skeleton -> [..., Jb, D] poses of another.

    Each target joint is an affine combination of the given joints, so units, axes, rotation and translation do not
    matter. Joints that are NaN are missing: the others tell of them. A pose of fewer than four joints becomes NaN.

    Args:
        acae: what is known of how joints vary together.
        from_joints, to_joints: names among its joints.
        noise_mm: see `conversion_matrix`.

    Raises:
        UserError: unknown names, a wrong number of joints, infinite values, no pose of four joints.
    """
    return _convert(poses, acae, from_joints, to_joints, noise_mm)[0]


def _convert(poses, acae, from_joints, to_joints, noise_mm) -> tuple[np.ndarray, np.ndarray | None]:
    """What `convert_poses` says, and [..., Jb] mm the errors to expect of it, where the model knows held-out people."""
    poses = np.asarray(poses)
    if poses.ndim < 2 or poses.shape[-2] != len(from_joints):
        raise UserError(
            f"Expected an array [..., {len(from_joints)} joints, coordinates] of the skeleton to convert from, got the "
            f"shape {list(poses.shape)}.{_of_as_many_joints(acae, poses)}"
        )
    if np.isinf(poses).any():
        raise UserError("The poses to convert hold infinite coordinates; joints that are not known are NaN.")
    flat = poses.reshape(-1, *poses.shape[-2:])
    skeleton = Skeleton("autoencoder", acae.joint_names)
    source, target = skeleton.indices(from_joints), skeleton.indices(to_joints)
    converted = np.full((len(flat), len(target), poses.shape[-1]), np.nan)
    errors = np.full((len(flat), len(target)), np.nan)
    patterns, pattern_of_row = np.unique(~np.isnan(flat).any(axis=-1), axis=0, return_inverse=True)
    for i, known in enumerate(patterns):
        if known.sum() >= min(MIN_JOINTS, len(source)):
            rows = pattern_of_row.reshape(-1) == i
            weights = _weights(acae, source[known], target, noise_mm)
            converted[rows] = combine(flat[rows][:, known], weights, "joints")
            if isinstance(acae, JointMoments):
                errors[rows] = acae.error_mm(source[known], target, weights)
    if len(flat) and np.isnan(converted).all():
        raise UserError(f"No pose has {MIN_JOINTS} joints that are not NaN; nothing can be converted.")
    shape = (*poses.shape[:-2], len(target))
    return converted.reshape(*shape, poses.shape[-1]), errors.reshape(shape) if isinstance(acae, JointMoments) else None


def conversion_matrix(
    acae: Acae | JointMoments, from_joints: Sequence[str], to_joints: Sequence[str], *, noise_mm: float = NOISE_MM
) -> np.ndarray:
    """[Ja, Jb] affine weights (columns sum to 1) that turn poses of one skeleton into another's.

    The best linear predictor with weights that sum to 1 (ordinary kriging), given how the joints varied together on the
    poses of the fit, and joints with an error of `noise_mm`. With an autoencoder, a skeleton of all its joints is
    encoded and decoded.
    """
    skeleton = Skeleton("autoencoder", acae.joint_names)
    return _weights(acae, skeleton.indices(from_joints), skeleton.indices(to_joints), noise_mm)


def _weights(acae: Acae | JointMoments, source: np.ndarray, target: np.ndarray, noise_mm: float) -> np.ndarray:
    if isinstance(acae, Acae) and len(set(source.tolist())) == acae.n_joints:
        return acae.encoder[source] @ acae.decoder[:, target]
    return affine_weights(acae.second_moments(source, source), acae.second_moments(source, target), noise_mm)


def skeleton_joints(acae: Acae | JointMoments | None = None) -> dict[str, tuple[str, ...]]:
    """The skeletons that are known by name, each with its joints in order; None: those of the package."""
    model = acae or JointMoments.load()
    have = available_output_skeletons(Skeleton("autoencoder", model.joint_names))
    found = {name: skeleton.joint_names for name, skeleton in have.items() if name}
    coco_17 = output_skeletons()["coco_wholebody_23"][:17]  # models do not offer it, but other programs have it
    if set(coco_17) <= set(model.joint_names):
        found.setdefault("coco_17", coco_17)
    return found


def find_joints(acae: Acae | JointMoments, skeleton_name: str) -> tuple[str, ...]:
    """The joint names of a skeleton (`h36m_17`) or of all joints of a convention (`h36m`); ``all``: every joint."""
    if skeleton_name == "all":
        return acae.joint_names
    have = skeleton_joints(acae)
    if skeleton_name in have:
        return have[skeleton_name]
    of_convention = tuple(n for n in acae.joint_names if n.partition("_")[2] == skeleton_name)
    if skeleton_name and of_convention:
        return of_convention
    what = "The autoencoder" if isinstance(acae, Acae) else "The translator"
    if skeleton_name in output_skeletons():
        missing = [n for n in output_skeletons()[skeleton_name] if n not in set(acae.joint_names)]
        raise UserError(f"{what} lacks {len(missing)} joints of {skeleton_name}: {', '.join(missing[:5])}.")
    raise UserError(f"{what} has no skeleton '{skeleton_name}'; it has all, {', '.join(have)}.")


def _of_as_many_joints(acae: Acae | JointMoments, poses: np.ndarray) -> str:
    """A sentence that names the skeletons that a file could be of."""
    n_joints = poses.shape[-2] if poses.ndim > 1 else 0
    fitting = [name for name, joints in skeleton_joints(acae).items() if len(joints) == n_joints]
    return f" {n_joints} joints have: {', '.join(fitting)}." if fitting else ""


def _some_whole(poses: np.ndarray, joint_names: Sequence[str], model: JointMoments, most: int = 500) -> np.ndarray:
    """Some of the poses, evenly from all, as [N, J, 3]; missing joints are filled in."""
    if poses.shape[-1] != 3:
        raise UserError(f"The poses have {poses.shape[-1]} coordinates a joint; 3D poses are needed.")
    flat = poses.reshape(-1, *poses.shape[-2:])
    flat = np.asarray(flat[:: -(-len(flat) // most) or 1], np.float64)
    flat = flat[(~np.isnan(flat).any(axis=-1)).sum(axis=-1) >= MIN_JOINTS]
    if not np.isnan(flat).any():
        return flat
    filled = convert_poses(flat, model, from_joints=joint_names, to_joints=joint_names)
    return np.where(np.isnan(flat).any(axis=-1, keepdims=True), filled, flat)


def convert_file(
    acae_path: str | Path | None,
    source: str,
    target: str,
    in_path: str | Path,
    out_path: str | Path,
    *,
    noise_mm: float = NOISE_MM,
) -> tuple[tuple[int, ...], list[str]]:
    """Converts the poses of a file, see `read_pose_arrays`, and writes them, see `write_pose_arrays`.

    Labels of the poses (`LABELS`) are kept, and of a demo's file all that holds in any skeleton: the result is a
    prediction file.

    Args:
        acae_path: None: by the moments of the package, with checks of the poses and the errors to expect.
        source: skeleton of the poses, or "" for the one that a demo's file names. If the file names its joints, they
            must be those of this skeleton, in its order, with their convention or as exported models show them.

    Returns:
        the result's shape, and sentences about it.
    """
    require_writable(out_path)
    model = Acae.load(acae_path) if acae_path else JointMoments.load()
    arrays = read_pose_arrays(in_path)
    source = source or skeleton_of(arrays)
    if not source:
        raise UserError(f"{in_path} does not say which skeleton its poses have; name it with --from.")
    from_joints, to_joints = find_joints(model, source), find_joints(model, target)
    as_shown = shown(source, Skeleton(source, from_joints)).joint_names
    headings = arrays.pop("headings", ())
    if len(headings) and set(headings.tolist()) <= {*model.joint_names, *as_shown}:  # no other program's names
        arrays["joint_names"] = headings
    given = read_names(arrays.pop("joint_names", from_joints), f"joint_names of {in_path}")
    if given not in (from_joints, as_shown):
        raise UserError(
            f"{in_path} names its {len(given)} joints {', '.join(given[:3])} ..., but {source} is {len(from_joints)} "
            f"joints {', '.join(from_joints[:3])} ... in this order; bring the poses into it."
        )
    key = next(iter(arrays))
    poses = known_joints(arrays[key], len(from_joints))
    arrays = with_labels_of(arrays, int(np.prod(poses.shape[:-2])))
    converted, errors = _convert(poses, model, from_joints, to_joints, noise_mm)
    notes = _notes(poses, converted)
    if errors is not None:
        whole = _some_whole(poses, from_joints, model)
        notes += [*pose_checks.require_body(whole, from_joints, model), _unit(whole, from_joints)]
        notes += _expectation(errors, to_joints)
        arrays["expected_error_mm"] = errors.astype(np.float32)
    dtype = poses.dtype if poses.dtype.kind == "f" else np.float64
    if skeleton_of(arrays):
        arrays["metadata"] = np.array(json.dumps({**json.loads(str(arrays["metadata"])), "skeleton": target}))
    write_pose_arrays(out_path, {**arrays, key: converted.astype(dtype), "joint_names": np.array(to_joints)})
    return converted.shape, notes


def _notes(poses: np.ndarray, converted: np.ndarray) -> list[str]:
    lacking, lost = (np.isnan(p).any(axis=(-1, -2)).sum() for p in (poses, converted))
    n = int(np.prod(poses.shape[:-2]))
    return [f"{lacking} of {n} poses lack joints; {lost} lack too many and are NaN."] if lacking else []


def _unit(poses: np.ndarray, joint_names: Sequence[str]) -> str:
    unit = likely_unit(poses, joint_names)
    return f"By the bodies' size these are {unit}; the result has the unit and axes of the input."


def _expectation(errors_mm: np.ndarray, joint_names: Sequence[str]) -> list[str]:
    """How exact the result is, of [..., J] errors."""
    errors_mm = errors_mm.reshape(-1, len(joint_names))
    errors_mm = errors_mm[np.isfinite(errors_mm).all(axis=1)]
    if not len(errors_mm):
        return []
    of_joint = np.sqrt((errors_mm**2).mean(axis=0))
    worst = ", ".join(f"{joint_names[i]} {of_joint[i]:.0f}" for i in np.argsort(-of_joint)[:3])
    return [
        f"From exact joints the result errs by {np.sqrt((of_joint**2).mean()):.0f} mm (root mean square on held-out "
        f"synthetic people), most of all {worst} mm."
    ]
