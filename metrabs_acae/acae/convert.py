"""Converting poses between skeletons through the autoencoder's latents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.acae.autoencoder import Acae, combine
from metrabs_acae.acae.pose_arrays import read_pose_arrays, skeleton_of
from metrabs_acae.errors import UserError
from metrabs_acae.files import write_npz
from metrabs_acae.joint_names import read_names
from metrabs_acae.skeletons import Skeleton, available_output_skeletons, output_skeletons, shown

NOISE_MM = 20.0
"""How exactly the given joints are trusted: the best of 1, 5, 20 and 50 mm on held-out poses (docs/acae.md)."""


def convert_poses(
    poses: np.ndarray, acae: Acae, *, from_joints: Sequence[str], to_joints: Sequence[str], noise_mm: float = NOISE_MM
) -> np.ndarray:
    """[..., Ja, D] poses of one skeleton -> [..., Jb, D] poses of another.

    Each target joint is an affine combination of the given joints, so units, rotation and translation do not matter.

    Args:
        from_joints, to_joints: names among the autoencoder's joints.
        noise_mm: see `conversion_matrix`.

    Raises:
        UserError: unknown names, a wrong number of joints, values that are not finite.
    """
    poses = np.asarray(poses)
    if poses.ndim < 2 or poses.shape[-2] != len(from_joints):
        raise UserError(
            f"Expected an array [..., {len(from_joints)} joints, coordinates] of the skeleton to convert from, got the "
            f"shape {list(poses.shape)}."
        )
    finite = np.isfinite(poses).all()
    if not finite:
        raise UserError("The poses to convert hold NaN or infinite coordinates; leave such poses out.")
    return combine(poses, conversion_matrix(acae, from_joints, to_joints, noise_mm=noise_mm), "joints")


def conversion_matrix(
    acae: Acae, from_joints: Sequence[str], to_joints: Sequence[str], *, noise_mm: float = NOISE_MM
) -> np.ndarray:
    """[Ja, Jb] affine weights (columns sum to 1) that turn poses of one skeleton into another's.

    A skeleton with all of the autoencoder's joints is encoded and decoded. From fewer joints the latents are not
    determined; they are estimated by the best linear predictor with weights that sum to 1 (ordinary kriging), given
    how the latents varied together on the poses of the fit, and joints with an error of `noise_mm`.
    """
    skeleton = Skeleton("autoencoder", acae.joint_names)
    source, target = skeleton.indices(from_joints), skeleton.indices(to_joints)
    decoder = acae.decoder[:, target]
    if len(set(source.tolist())) == acae.n_joints:
        return acae.encoder[source] @ decoder
    if acae.latent_gram_mm2 is None:
        raise UserError(
            "This autoencoder file does not say how latents vary together (latent_gram_mm2), which converting from "
            "some of its joints needs; fit it again."
        )
    known = acae.decoder[:, source]
    covariance = known.T @ acae.latent_gram_mm2 @ known + noise_mm**2 * np.eye(len(source))
    cross = known.T @ acae.latent_gram_mm2 @ decoder
    ones = np.ones((len(source), 1))
    system = np.block([[covariance, ones], [ones.T, np.zeros((1, 1))]])
    weights = np.linalg.solve(system, np.concatenate([cross, np.ones((1, len(target)))]))[:-1]
    return weights / weights.sum(axis=0)


def find_joints(acae: Acae, skeleton_name: str) -> tuple[str, ...]:
    """The joint names of a skeleton (`h36m_17`) or of all joints of a convention (`h36m`); ``all``: every joint."""
    if skeleton_name == "all":
        return acae.joint_names
    have = available_output_skeletons(Skeleton("autoencoder", acae.joint_names))
    if have.get(skeleton_name) is not None and skeleton_name:
        return have[skeleton_name].joint_names
    of_convention = tuple(n for n in acae.joint_names if n.partition("_")[2] == skeleton_name)
    if skeleton_name and of_convention:
        return of_convention
    if skeleton_name in output_skeletons():
        missing = [n for n in output_skeletons()[skeleton_name] if n not in set(acae.joint_names)]
        raise UserError(f"The autoencoder lacks {len(missing)} joints of {skeleton_name}: {', '.join(missing[:5])}.")
    known = ", ".join(n for n in have if n)
    raise UserError(f"The autoencoder has no skeleton '{skeleton_name}'; it has all, {known}.")


def convert_file(acae_path: str | Path, source: str, target: str, in_path: str | Path, out_path: str | Path) -> tuple:
    """Converts the poses of a file, see `read_pose_arrays`, and writes them as .npz. Returns the result's shape.

    What else a demo's file says of the people, and holds in any skeleton, is kept: the result is a prediction file.

    Args:
        source: skeleton of the poses, or "" for the one that a demo's file names. If the file names its joints, they
            must be those of this skeleton, in its order, with their convention or as exported models show them.
    """
    acae = Acae.load(acae_path)
    arrays = read_pose_arrays(in_path)
    source = source or skeleton_of(arrays)
    if not source:
        raise UserError(f"{in_path} does not say which skeleton its poses have; name it with --from.")
    from_joints, to_joints = find_joints(acae, source), find_joints(acae, target)
    given = read_names(arrays.pop("joint_names", from_joints), f"joint_names of {in_path}")
    if given not in (from_joints, shown(source, Skeleton(source, from_joints)).joint_names):
        raise UserError(
            f"{in_path} names its {len(given)} joints {', '.join(given[:3])} ..., but {source} is {len(from_joints)} "
            f"joints {', '.join(from_joints[:3])} ... in this order; bring the poses into it."
        )
    key = next(iter(arrays))
    poses = arrays[key]
    converted = convert_poses(poses, acae, from_joints=from_joints, to_joints=to_joints)
    dtype = poses.dtype if poses.dtype.kind == "f" else np.float64
    if skeleton_of(arrays):
        arrays["metadata"] = np.array(json.dumps({**json.loads(str(arrays["metadata"])), "skeleton": target}))
    write_npz(out_path, {**arrays, key: converted.astype(dtype), "joint_names": np.array(to_joints)})
    return converted.shape
