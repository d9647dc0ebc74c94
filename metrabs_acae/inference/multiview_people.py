"""The same people in several views: who is who, and one pose of each in the world."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from metrabs_acae.geometry.triangulation import distances_between_rays, fuse_views, ray_distances
from metrabs_acae.inference.multiview_inputs import View
from metrabs_acae.inference.pose_files import People

FORBIDDEN = 1e9
SAME_PERSON_MM = 250.0
"""Rays of the same joint of one person pass each other this near, in the median over the joints."""
SPEED_MM_S = 3000.0
"""By which a person who was not seen for a while may have moved."""
DEPTH_WEIGHT = 0.1
"""Of the distance between places that single views give, which are uncertain in depth, beside that between rays."""
MAX_DEPTH_RATIO = 1.6
"""By which a single view may misjudge how far away a person is."""
SAME_PLACE_MM = 250.0
"""Two people are not so near to each other, joint by joint."""


@dataclass(frozen=True)
class Observation:
    """A person in one view, in the world.

    Attributes:
        center_mm: [3] of the camera.
        directions: [J, 3] of the joints' rays.
        points_mm: [J, 3], what the view alone makes of them.
        sigma_mm: [J] of the rays, at the person.
    """

    center_mm: np.ndarray
    directions: np.ndarray
    points_mm: np.ndarray
    sigma_mm: np.ndarray


@dataclass
class Person:
    """Attributes:
    number: from 1; 0: not yet seen by enough views.
    views: {view's number: place among its people} at the moment.
    points_mm, sigma_mm: [J, 3], [J] in the world.
    weights: {view's number: [J]} how far each view counts, 0 to 1.
    scale: by which the views' own poses are too small.
    time_s: when last seen.
    """

    number: int
    views: dict[int, int] = field(default_factory=dict)
    points_mm: np.ndarray | None = None
    sigma_mm: np.ndarray | None = None
    weights: dict[int, np.ndarray] = field(default_factory=dict)
    scale: float = np.nan
    time_s: float = -np.inf


class PeopleInViews:
    """Follows people through what all views see, moment after moment.

    In each view, the people known are assigned to those seen by the median distance of their joints to the rays
    (Hungarian). Who is left in several views is grouped, view by view, by the distances between rays and, weakly,
    between the places that single views give. A person gets a number when `min_views` views see them at once.
    """

    def __init__(self, *, min_views: int = 2, max_gap_s: float = 1.0):
        self._min_views, self._max_gap_s = min_views, max_gap_s
        self._people: list[Person] = []
        self._n_people = 0

    def update(self, time_s: float, seen: Mapping[int, Sequence[Observation]]) -> list[Person]:
        """The people at a moment, by number, fused; `seen`: {view's number: its people}."""
        self._people = [p for p in self._people if time_s - p.time_s <= self._max_gap_s]
        for person in self._people:
            person.views = {}
        left = {view: self._assign(time_s, view, observations) for view, observations in seen.items()}
        present = [p for p in self._people if p.views]
        for person in present:
            fuse(person, seen)
        for group in _groups(left, seen):
            person = Person(0, views=group)
            fuse(person, seen)
            if not any(_distance(person, other) < SAME_PLACE_MM for other in present):
                present.append(person)
                self._people.append(person)
        for person in present:
            person.time_s = time_s
            if not person.number and len(person.views) >= self._min_views:
                self._n_people += 1
                person.number = self._n_people
        numbered = sorted((p for p in present if p.number), key=lambda p: p.number)
        return [dataclasses.replace(p, views=dict(p.views)) for p in numbered]

    def _assign(self, time_s: float, view: int, observations: Sequence[Observation]) -> list[int]:
        """Adds the view's people to those that are known; gives the rest."""
        costs = np.array([[_median_distance(p, o) for o in observations] for p in self._people])
        costs = costs.reshape(len(self._people), len(observations))
        limits = np.array([SAME_PERSON_MM + SPEED_MM_S * (time_s - p.time_s) for p in self._people])
        left = set(range(len(observations)))
        for i, j in _best_pairs(np.where(costs <= limits[:, np.newaxis], costs, FORBIDDEN)):
            self._people[i].views[view] = j
            left.remove(j)
        return sorted(left)


def _groups(left: Mapping[int, Sequence[int]], seen) -> list[dict[int, int]]:
    """{view's number: place among its people} of each person who is not known yet; the view with most of them first."""
    groups: list[dict[int, int]] = []
    for view in sorted(left, key=lambda v: -len(left[v])):
        of_view = list(left[view])
        costs = np.array(
            [
                [np.mean([_affinity(seen[v][k], seen[view][j]) for v, k in group.items()]) for j in of_view]
                for group in groups
            ]
        ).reshape(len(groups), len(of_view))
        found = {j: i for i, j in _best_pairs(costs)}
        for place, j in enumerate(of_view):
            if place in found:
                groups[found[place]][view] = j
            else:
                groups.append({view: j})
    return groups


def _best_pairs(costs: np.ndarray) -> list[tuple[int, int]]:
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return [(int(i), int(j)) for i, j in pairs if costs[i, j] < FORBIDDEN]


def _median_distance(person: Person, seen: Observation) -> float:
    return float(np.median(ray_distances(person.points_mm, seen.center_mm, seen.directions)))


def _affinity(a: Observation, b: Observation) -> float:
    """The cost of taking the people of two views for one, mm."""
    rays = float(np.median(distances_between_rays(a.center_mm, a.directions, b.center_mm, b.directions)))
    middles = [o.points_mm.mean(0) for o in (a, b)]
    depths = [np.linalg.norm(m - o.center_mm) for m, o in zip(middles, (a, b), strict=True)]
    apart = np.linalg.norm(middles[0] - middles[1])
    if rays > SAME_PERSON_MM or apart > (MAX_DEPTH_RATIO - 1) * sum(depths):
        return FORBIDDEN
    return rays + DEPTH_WEIGHT * apart


def fuse(person: Person, seen: Mapping[int, Sequence[Observation]]) -> None:
    """Sets what follows from the person's places in the views."""
    found = [seen[view][place] for view, place in person.views.items()]
    stack = {name: np.stack([getattr(o, name) for o in found]) for name in Observation.__dataclass_fields__}
    fused = fuse_views(stack["center_mm"], stack["directions"], stack["sigma_mm"], stack["points_mm"])
    person.points_mm, person.sigma_mm, person.scale = fused.points_mm, fused.sigma_mm, fused.scale
    person.weights = dict(zip(person.views, fused.ray_weights, strict=True))


def _distance(a: Person, b: Person) -> float:
    return float(np.median(np.linalg.norm(a.points_mm - b.points_mm, axis=-1)))


class FusedPeople:
    """The people of a moment, as arrays.

    Attributes:
        world_mm: [P, J, 3]. poses2d_px: [P, V, J, 2], their projections. errors_px: [P, V, J], distances to what the
            views themselves say, NaN where they do not see the person. weights: [P, V, J], 0 to 1.
    """

    def __init__(self, views: Sequence[View], people: Sequence[Person], seen: Sequence[People], world_mm: np.ndarray):
        n_people, n_joints = world_mm.shape[:2]
        self._views, self._people, self._seen = views, people, seen
        self.world_mm = world_mm
        self.poses2d_px = np.stack([view.project(world_mm) for view in views], axis=1)
        own_px = np.full((n_people, len(views), n_joints, 2), np.nan)
        self.weights = np.zeros((n_people, len(views), n_joints))
        for i, person in enumerate(people):
            for view, place in person.views.items():
                own_px[i, view] = seen[view].poses2d[place]
                self.weights[i, view] = person.weights[view]
        self.errors_px = np.linalg.norm(self.poses2d_px - own_px, axis=-1)

    def more(self) -> dict[str, np.ndarray]:
        return {
            "world_mm": self.world_mm,
            "view_poses2d_px": self.poses2d_px,
            "view_errors_px": self.errors_px,
            "view_weights": self.weights,
        }

    def of_view(self, number: int) -> People:
        """In a view's camera frame; boxes are those of the view or, where it does not see someone, of their pose."""
        view, seen = self._views[number], self._seen[number]
        places = [p.views.get(number) for p in self._people]
        boxes = [_box_of(pose) for pose in self.poses2d_px[:, number]]
        boxes = [box if place is None else seen.boxes[place] for box, place in zip(boxes, places, strict=True)]
        sigma = np.array([p.sigma_mm for p in self._people]).reshape(self.world_mm.shape[:2])
        return People(
            person=np.array([p.number for p in self._people], np.int32),
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.array([np.nan if place is None else seen.scores[place] for place in places], np.float32),
            poses3d=view.to_camera(self.world_mm).astype(np.float32),
            poses2d=self.poses2d_px[:, number].astype(np.float32),
            uncertainty=sigma,
            entropy=np.full_like(sigma, np.nan),
        )


def _box_of(pose2d: np.ndarray) -> np.ndarray:
    """[4] around the joints [J, 2] that are seen; zeros of none."""
    finite = pose2d[np.isfinite(pose2d).all(-1)]
    return np.concatenate([finite.min(0), np.ptp(finite, axis=0)]) if len(finite) else np.zeros(4)
