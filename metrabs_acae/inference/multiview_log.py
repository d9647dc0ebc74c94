"""The people of several views, collected outside of memory, and what follows from them when all frames were seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.multiview_inputs import View
from metrabs_acae.inference.multiview_people import FusedPeople
from metrabs_acae.inference.person_motion import JOINT_ACCELERATION
from metrabs_acae.inference.pose_files import People, PoseLog, Source
from metrabs_acae.inference.smoothing import PoseSmoother
from metrabs_acae.inference.trajectories import smooth_path

NAME = "multiview"
LEAST_SIGMA_MM = 10.0
ERRORS_LAST_S = 0.15


class FusedLog:
    """Collects moment after moment. A context manager: what was collected is gone when it ends."""

    def __init__(self, views: Sequence[View], first: Source):
        n_views, n_joints = len(views), len(first.joint_names)
        shapes = {
            "world_mm": (n_joints, 3),
            "view_own_px": (n_views, n_joints, 2),
            "view_boxes_ltwh_px": (n_views, 4),
            "view_scores": (n_views,),
            "view_weights": (n_views, n_joints),
        }
        self._views = views
        camera = views[0].camera
        world = np.column_stack([camera.R.T, camera.optical_center_mm])
        self._log = PoseLog(dataclasses.replace(first, name=NAME, world=world), more=shapes)

    def __enter__(self) -> FusedLog:
        return self

    def __exit__(self, *exception) -> None:
        self._log.__exit__(*exception)

    def add(self, frame: int, time_s: float, people: FusedPeople) -> None:
        more = {
            "world_mm": people.world_mm,
            "view_own_px": people.own_px,
            "view_boxes_ltwh_px": people.boxes,
            "view_scores": people.scores,
            "view_weights": people.weights,
        }
        of_first = People(
            person=people.person,
            boxes=people.boxes[:, 0],
            scores=people.scores[:, 0],
            poses3d=self._views[0].to_camera(people.world_mm),
            poses2d=self._views[0].project(people.world_mm),
            uncertainty=people.uncertainty,
            entropy=np.full_like(people.uncertainty, np.nan),
        )
        self._log.add(frame, time_s, of_first, **more)

    def finished(self, settings: Demo) -> PoseLog:
        """A log, to be closed, with paths over time made smooth as the settings say, and with projections and errors.

        Poses are in the frame of the first view's camera; `world_mm` in the world.
        """
        log, views = self._log, self._views
        world = self._smooth(settings)
        n_joints, n_views = world.shape[1], len(views)
        kept = ("view_boxes_ltwh_px", "view_scores", "view_weights")
        shapes = {"world_mm": (n_joints, 3), "view_poses2d_px": (n_views, n_joints, 2)}
        shapes |= {"view_errors_px": (n_views, n_joints)} | {name: log.more[name] for name in kept}
        refined = settings.refine and not settings.smooth
        source = dataclasses.replace(log.source, refined=refined, more=_of_views(views))
        result = PoseLog(source, raw=log if refined else None, more=shapes)
        columns = {name: log.column(name) for name in ("view_own_px", *kept)}
        start = 0
        for frame, time_s, people in log.frames():
            rows = slice(start, start + len(people))
            poses2d = np.stack([view.project(world[rows]) for view in views], axis=1)
            errors = np.linalg.norm(poses2d - columns["view_own_px"][rows], axis=-1)
            moved = {"poses3d": views[0].to_camera(world[rows]), "poses2d": poses2d[:, 0]}
            more = {"world_mm": world[rows], "view_poses2d_px": poses2d, "view_errors_px": errors}
            more |= {name: columns[name][rows] for name in kept}
            result.add(frame, time_s, dataclasses.replace(people, **moved), **more)
            start = rows.stop
        return result

    def _smooth(self, settings: Demo) -> np.ndarray:
        """[P, J, 3] in the world, of all moments."""
        log = self._log
        world, person = np.array(log.column("world_mm"), np.float64), log.column("person")
        times_s = log.column("times_s")[np.searchsorted(log.column("frames"), log.column("frame"))]
        sigma = log.column("uncertainty")
        for number in np.unique(person):
            rows = np.flatnonzero(person == number)
            if settings.smooth:
                smoother = PoseSmoother()
                world[rows] = [smoother.update(times_s[r], [number], world[r : r + 1])[0] for r in rows]
            elif settings.refine:
                world[rows] = smooth_poses(times_s[rows], world[rows], sigma[rows])
        return world


def smooth_poses(times_s: np.ndarray, world_mm: np.ndarray, sigma_mm: np.ndarray) -> np.ndarray:
    """The likeliest paths [N, J, 3] of joints that were found at [N, J, 3] with standard deviations [N, J]."""
    precisions = 3 / np.square(np.maximum(sigma_mm, LEAST_SIGMA_MM))[..., np.newaxis, np.newaxis] * np.eye(3)
    settings = {"acceleration": JOINT_ACCELERATION, "correlation_s": ERRORS_LAST_S}
    paths = [smooth_path(times_s, world_mm[:, j], precisions[:, j], **settings)[0] for j in range(world_mm.shape[1])]
    return np.stack(paths, axis=1)


def _of_views(views: Sequence[View]) -> dict[str, np.ndarray]:
    return {
        "view_names": np.array([v.item.stem for v in views]),
        "view_intrinsic_matrices": np.stack([v.camera.K for v in views]),
        "view_extrinsic_matrices": np.stack([v.extrinsics for v in views]),
        "world_up": np.asarray(views[0].camera.world_up, np.float64),
    }
