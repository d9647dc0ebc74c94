"""The poses of an input as motion: whose, in which axes, and the files of it; docs/motion.md describes both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.errors import UserError
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.pose_files import PoseLog, Source
from metrabs_acae.motion.angles import write_angles_csv
from metrabs_acae.motion.bvh import write_bvh
from metrabs_acae.motion.fit import Motion, fit_motion
from metrabs_acae.motion.floor import CAMERA_UP, feet, floor_frame
from metrabs_acae.motion.gltf import write_glb
from metrabs_acae.motion.trc import write_trc
from metrabs_acae.motion.tree import kinematic_tree

OUTPUTS = ("bvh", "glb", "trc", "csv")


@dataclass(frozen=True)
class Motions:
    """Everybody's motion.

    Attributes:
        people: by their numbers.
        joints: [J'] numbers, among those of the poses, of the joints that were seen at all.
        rotation, translation_mm: [3, 3], [3] from the camera's axes to those of the files.
    """

    people: tuple[Motion, ...]
    joints: np.ndarray
    rotation: np.ndarray
    translation_mm: np.ndarray

    def arrays(self, log: PoseLog) -> dict[str, np.ndarray]:
        """What they add to the NPZ: joints of the fitted skeletons in the camera's frame, and what is left of the
        poses beside them, [P, J, 3]; the axes of the files."""
        poses = log.column("poses3d")
        fitted = np.full(poses.shape, np.nan, np.float32)
        person, frame = log.column("person"), log.column("frame")
        for motion in self.people:
            rows = np.flatnonzero(person == motion.person)
            at = np.searchsorted(motion.frames, frame[rows])
            fitted[np.ix_(rows, self.joints)] = (motion.fitted_mm[at] - self.translation_mm) @ self.rotation
        world = np.column_stack([self.rotation, self.translation_mm])
        return {"fitted_poses3d_mm": fitted, "residual_mm": poses - fitted, "motion_from_camera_mm": world}


def wanted(settings: Demo) -> bool:
    """Whether a demo writes files of motion."""
    return not set(OUTPUTS).isdisjoint(settings.outputs)


def check_tracked(settings: Demo) -> None:
    """UserError where a demo is asked for files of motion of people whom it does not follow."""
    if wanted(settings) and not settings.track:
        raise UserError("Files of motion need tracked people: leave out --no-track.")


def check_feet(settings: Demo, joint_names: Sequence[str]) -> None:
    """UserError where a demo is asked for a floor and the skeleton has no feet."""
    if wanted(settings) and settings.floor and not feet(joint_names)[0]:
        raise UserError("The skeleton has no feet to estimate a floor from; choose another, or leave out --floor.")


def fit_motions(log: PoseLog, *, floor: bool) -> Motions:
    """The motion of each person, in axes x right, y up, z towards the camera, or the world's where that is known.

    Args:
        floor: whether y = 0 is the floor, estimated from everybody's feet, which says what is upwards unless the world
            does; else, and without feet, the origin is that of the world, or the camera, taken to be level.
    """
    source = log.source
    poses, person, frame = (np.asarray(log.column(name)) for name in ("poses3d", "person", "frame"))
    rotation, translation = _y_up(source)
    level = (poses @ rotation.T + translation) @ CAMERA_UP  # as of a level camera
    if floor and (found := floor_frame(source.joint_names, level, level=source.world is not None)):
        turn = found[0] @ CAMERA_UP
        rotation, translation = turn @ rotation, turn @ translation + found[1]
    joints = np.flatnonzero(np.isfinite(poses).all(axis=2).any(axis=0))
    whole = poses[:, joints][np.isfinite(poses[:, joints]).all(axis=(1, 2))]
    if not len(whole):
        return Motions((), joints, rotation, translation)
    names, position = [source.joint_names[j] for j in joints], {int(j): i for i, j in enumerate(joints)}
    edges = [(position[a], position[b]) for a, b in source.edges if a in position and b in position]
    tree = kinematic_tree(names, edges, whole)
    frames, times_s, uncertainty = log.column("frames"), log.column("times_s"), log.column("uncertainty")
    people = []
    for number in np.unique(person):
        rows = np.flatnonzero(person == number)
        if not np.isfinite(poses[np.ix_(rows, joints)]).all(axis=2).any(axis=0).all():
            continue  # somebody who lacks a joint in all frames has no skeleton
        span = slice(*(np.searchsorted(frames, frame[rows[[0, -1]]]) + [0, 1]))
        at = np.searchsorted(frames[span], frame[rows])
        own = np.full((len(frames[span]), len(joints), 3), np.nan)
        own[at] = poses[np.ix_(rows, joints)] @ rotation.T + translation
        spread = np.full(own.shape[:2], np.nan)
        spread[at] = uncertainty[np.ix_(rows, joints)]
        times = np.array(times_s[span])
        people.append(fit_motion(tree, int(number), np.array(frames[span]), times, own, spread))
    return Motions(tuple(people), joints, rotation, translation)


def _y_up(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and translation [3] mm from the camera's axes to the files': the world's, with y up."""
    if source.world is None:
        return CAMERA_UP, np.zeros(3)
    rotation, center = source.world[:, :3], source.world[:, 3]
    turn = Rotation.align_vectors([[0.0, 1.0, 0.0]], [rotation @ source.up])[0].as_matrix()
    return turn @ rotation, turn @ center


def write_motion_files(stem: Path, motions: Motions, outputs: Iterable[str]) -> list[Path]:
    """Those of `OUTPUTS` that are asked for: BVH and TRC for each person, GLB and CSV of all; gives their paths."""
    files = []
    for name, write in (("bvh", write_bvh), ("trc", write_trc)):
        for motion in motions.people if name in outputs else ():
            files.append(stem.with_name(f"{stem.name}.{motion.person}.{name}"))
            write(files[-1], motion)
    for name, write in (("glb", write_glb), ("csv", write_angles_csv)):
        if name in outputs:
            files.append(stem.with_name(f"{stem.name}.{name}"))
            write(files[-1], motions.people)
    return files
