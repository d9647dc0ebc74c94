"""The same people in several views: who is who, and one pose of each in the world."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from metrabs_acae.geometry.triangulation import fuse_views, nearest_on_rays, ray_distances
from metrabs_acae.inference.pose_files import People

FORBIDDEN = 1e9
SAME_PERSON_MM = 250.0
"""Rays of the same joint of one person pass each other this near, in the median over the joints."""
SPEED_MM_S = 3000.0
"""By which a person who was not seen for a while may have moved."""
DEPTH_WEIGHT_MM = 200.0
"""Of logarithms of ratios between the distances from two cameras and those that each view by itself gives."""
MAX_DEPTH_RATIO = 1.8
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
    (Hungarian). Who is left in several views is grouped, view by view, by the distances between rays, and by how far
    away single views think that they are. A person gets a number when `min_views` views see them at once.
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
        limits = [SAME_PERSON_MM + np.median(p.sigma_mm) + SPEED_MM_S * (time_s - p.time_s) for p in self._people]
        left = set(range(len(observations)))
        for i, j in _best_pairs(np.where(costs <= np.reshape(limits, (-1, 1)), costs, FORBIDDEN)):
            self._people[i].views[view] = j
            left.remove(j)
        return sorted(left)


def _groups(left: Mapping[int, Sequence[int]], seen) -> list[dict[int, int]]:
    """{view's number: place among its people} of each person who is not known yet; the view with most of them first."""
    groups: list[dict[int, int]] = []
    for view in sorted(left, key=lambda v: -len(left[v])):
        of_view = list(left[view])
        costs = np.array(
            [[max(_affinity(seen[v][k], seen[view][j]) for v, k in group.items()) for j in of_view] for group in groups]
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
    *alongs, distances = nearest_on_rays(a.center_mm, a.directions, b.center_mm, b.directions)
    rays, ratios = float(np.median(distances)), []
    for seen, along in zip((a, b), alongs, strict=True):
        own = np.median(np.linalg.norm(seen.points_mm - seen.center_mm, axis=-1))
        ratios.append(np.log(max(np.median(along), 1.0) / max(own, 1.0)))
    if rays > SAME_PERSON_MM or np.abs(ratios).max() > np.log(MAX_DEPTH_RATIO):
        return FORBIDDEN
    return rays + DEPTH_WEIGHT_MM * float(np.abs(ratios).sum())


def fuse(person: Person, seen: Mapping[int, Sequence[Observation]]) -> None:
    """Sets what follows from the person's places in the views."""
    found = [seen[view][place] for view, place in person.views.items()]
    if len(found) == 1 and np.isfinite(person.scale):  # several views have told how far away such a person is
        center, points = found[0].center_mm, found[0].points_mm
        found = [dataclasses.replace(found[0], points_mm=center + person.scale * (points - center))]
    stack = {name: np.stack([getattr(o, name) for o in found]) for name in Observation.__dataclass_fields__}
    fused = fuse_views(stack["center_mm"], stack["directions"], stack["sigma_mm"], stack["points_mm"])
    person.points_mm, person.sigma_mm = fused.points_mm, fused.sigma_mm
    if np.isfinite(fused.scale):
        person.scale = fused.scale
    person.weights = dict(zip(person.views, fused.ray_weights, strict=True))


def _distance(a: Person, b: Person) -> float:
    return float(np.median(np.linalg.norm(a.points_mm - b.points_mm, axis=-1)))


@dataclass(frozen=True)
class FusedPeople:
    """The people of a moment, by number.

    Attributes:
        person: [P].
        world_mm: [P, J, 3].
        uncertainty: [P, J] mm, standard deviation in the world, all axes together.
        own_px: [P, V, J, 2], what each view by itself says; NaN where it does not see the person.
        boxes: [P, V, 4] px, scores: [P, V]; likewise.
        weights: [P, V, J] how far each view counts, 0 to 1.
    """

    person: np.ndarray
    world_mm: np.ndarray
    uncertainty: np.ndarray
    own_px: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.person)


def as_arrays(people: Sequence[Person], seen: Sequence[People], n_joints: int) -> FusedPeople:
    """Of `PeopleInViews.update`; `seen`: what the views show."""
    shape = (len(people), len(seen))
    own_px, boxes = np.full((*shape, n_joints, 2), np.nan), np.full((*shape, 4), np.nan)
    scores, weights = np.full(shape, np.nan), np.zeros((*shape, n_joints))
    for i, person in enumerate(people):
        for view, place in person.views.items():
            own_px[i, view], boxes[i, view] = seen[view].poses2d[place], seen[view].boxes[place]
            scores[i, view], weights[i, view] = seen[view].scores[place], person.weights[view]
    world = np.array([p.points_mm for p in people]).reshape(-1, n_joints, 3)
    sigma = np.array([p.sigma_mm for p in people]).reshape(-1, n_joints)
    return FusedPeople(np.array([p.number for p in people], np.int32), world, sigma, own_px, boxes, scores, weights)
