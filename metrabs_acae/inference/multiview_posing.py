"""The people of several synchronised views: posed in each, matched, fused, and looked at again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from metrabs_acae.inference.demo_poses import Estimator
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.multiview_inputs import View
from metrabs_acae.inference.multiview_people import FusedPeople, Observation, PeopleInViews, Person, as_arrays, fuse
from metrabs_acae.inference.pose_files import People, Source, nobody
from metrabs_acae.joint_names import code

SINGLE_CROP_MM, LEAST_MM, OF_SPREAD = 45.0, 20.0, 0.5
"""How far a joint's ray passes from the joint (standard deviation): with one crop; with several, at least, and by their
spread."""
OUTSIDE = 3.0
"""By how much less certain a joint is that a view places outside of its picture."""
MARGIN, WIDER = 0.12, 0.4
"""Of boxes for the second look: around the joints, by their extent; most that is added to a detected box's sides."""
LEAST_SINE = 0.3
"""Of the angle between a trunk and the line of sight, for the trunk to say which way up a crop is."""


class Posing:
    """What several views show, as people in the world.

    Args:
        boxes_of: for each view a function of the frame's number that gives boxes [P, 4], or None for the detector.

    Attributes:
        sources: of the views' poses.
    """

    def __init__(
        self, views: Sequence[View], estimator: Estimator, boxes_of: Sequence[Callable | None], settings: Demo
    ):
        self.views = views
        self.sources = [_source(view, estimator, of_view) for view, of_view in zip(views, boxes_of, strict=True)]
        self._estimator, self._boxes_of = estimator, boxes_of
        self._followed = PeopleInViews(min_views=settings.multiview.min_views)
        self._trunk = _trunk(estimator.joint_names)
        self._more_looks = settings.multiview.looks - 1 if self._trunk else 0
        self._has_spread = (settings.num_aug or 1) > 1
        self._nobody = nobody(len(estimator.joint_names))

    def __call__(self, batch: Sequence[tuple]) -> list[FusedPeople]:
        """The people of each of some moments, see `Moments`."""
        seen = self._estimate(batch)
        found = [
            self._followed.update(time_s, self._observations(of_views))
            for (_, time_s, _), of_views in zip(batch, seen, strict=True)
        ]
        for _ in range(self._more_looks):
            self._look_again(batch, found, seen)
        return [
            as_arrays(people, of_views, len(self._estimator.joint_names))
            for people, of_views in zip(found, seen, strict=True)
        ]

    def _estimate(self, batch) -> list[list[People]]:
        """[moments][views] the people that each view sees; none where its frame is missing."""
        seen = [[self._nobody] * len(self.views) for _ in batch]
        for view, (source, boxes_of) in enumerate(zip(self.sources, self._boxes_of, strict=True)):
            there = [i for i, (_, _, frames) in enumerate(batch) if view in frames]
            frames = [batch[i][2][view] for i in there]
            given = None if boxes_of is None else [boxes_of(frame.index) for frame in frames]
            found = self._estimator([frame.image for frame in frames], given, source) if frames else []
            for i, people in zip(there, found, strict=True):
                seen[i][view] = people
        return seen

    def _observations(self, seen: Sequence[People]) -> dict[int, list[Observation]]:
        return {
            view: [_observation(self.views[view], people, i, self._has_spread) for i in range(len(people))]
            for view, people in enumerate(seen)
        }

    def _look_again(self, batch, found: list[list[Person]], seen: list[list[People]]) -> None:
        """Poses the people found once more in crops in which their trunks are upright, and fuses them anew."""
        for view, source in enumerate(self.sources):
            asked = [(i, p, p.views[view]) for i, people in enumerate(found) for p in people if view in p.views]
            images = [batch[moment][2][view].image for moment, _, _ in asked]
            boxes = [
                _box_around(self.views[view].project(person.points_mm), seen[moment][view].boxes[place])
                for moment, person, place in asked
            ]
            ups = [self.views[view].camera.R @ self._upwards(person, view) for _, person, _ in asked]
            poses = self._estimator.turned(images, boxes, ups, source)
            for (moment, _, place), pose in zip(asked, poses, strict=True):
                seen[moment][view] = _with_pose(seen[moment][view], place, pose)
        for people, of_views in zip(found, seen, strict=True):
            observations = self._observations(of_views)
            for person in people:
                fuse(person, observations)

    def _upwards(self, person: Person, view: int) -> np.ndarray:
        """From the hips to the shoulders, in the world; the world's where that points (almost) along the view."""
        camera = self.views[view].camera
        ends = [person.points_mm[list(joints)].mean(0) for joints in self._trunk]
        trunk, forward = ends[1] - ends[0], ends[0] - camera.optical_center_mm
        trunk, forward = (v / max(np.linalg.norm(v), 1e-9) for v in (trunk, forward))
        is_clear = np.linalg.norm(np.cross(trunk, forward)) > LEAST_SINE
        return trunk if is_clear else np.asarray(camera.world_up, np.float64)


def _trunk(joint_names: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """The numbers of the hips and of the shoulders; None without them."""
    codes = [code(name) for name in joint_names]
    ends = tuple([codes.index(side + part) for side in "lr" if side + part in codes] for part in ("hip", "sho"))
    return ends if all(len(end) == 2 for end in ends) else None


def _box_around(pose2d: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """[4] around the joints [J, 2] (NaN: not in view) with a margin, but not far outside of the detected box [4]."""
    pose2d = pose2d[np.isfinite(pose2d).all(-1)]
    if not len(pose2d):
        return detected
    margin = MARGIN * np.ptp(pose2d, axis=0).max()
    low, size = detected[:2], detected[2:]
    low, high = (
        np.clip(corner, low - size * WIDER, low + size * (1 + WIDER))
        for corner in (pose2d.min(0) - margin, pose2d.max(0) + margin)
    )
    return np.concatenate([low, np.maximum(high - low, 1.0)]).astype(np.float32)


def _with_pose(people: People, place: int, pose: People) -> People:
    changed = {}
    for name in ("poses3d", "poses2d", "uncertainty", "entropy"):
        values = getattr(people, name).copy()
        values[place] = getattr(pose, name)[0]
        changed[name] = values
    return dataclasses.replace(people, **changed)


def _observation(view: View, people: People, i: int, has_spread: bool) -> Observation:
    """Person i of a view; `has_spread`: the uncertainty is a spread over crops. Of a single crop it is an expected
    error at best, weights by which make the fused pose worse."""
    pose2d, sigma = people.poses2d[i].astype(np.float64), np.full(len(people.uncertainty[i]), SINGLE_CROP_MM)
    if has_spread:
        sigma = np.hypot(LEAST_MM, OF_SPREAD * people.uncertainty[i])
    outside = (pose2d < 0).any(-1) | (pose2d > np.array(view.image_size_wh) - 1).any(-1)
    return Observation(
        view.camera.optical_center_mm,
        view.directions(pose2d),
        view.to_world(people.poses3d[i].astype(np.float64)),
        sigma * np.where(outside, OUTSIDE, 1.0),
    )


def _source(view: View, estimator: Estimator, boxes_of: Callable | None) -> Source:
    camera = view.camera
    return Source(
        view.name,
        view.image_size_wh,
        camera.K,
        estimator.skeleton,
        estimator.joint_names,
        estimator.edges,
        tracked=True,
        detected=boxes_of is None,
        lens=camera.lens,
        camera_from=f"--calibration, '{view.camera_name}'",
        up=camera.R @ camera.world_up,
    )
