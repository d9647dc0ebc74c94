"""Rendered videos of people whose motion is known: the synthetic data's people, rooms and cameras, moving.

The motions are the clips of the synthetic data (30 poses a second), turned into any frame rate; people move forward as
far as the foot on the ground pushes them, so that no true foot slides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from data_processing.synthetic import appearance, background, body, joints, poses, props, rigs, scene
from data_processing.synthetic.box import BOX
from data_processing.synthetic.labels import Actor

CLIP_FPS = 30.0
SIZE_WH = (960, 540)
FOV_DEG = 60.0
CYCLES = ("walk", "run")
"""Motions that end as they begin."""
HEEL_TO_TOE = tuple(f"{side}{joint}_h36m" for side in "lr" for joint in ("ank", "toe"))


@dataclass(frozen=True)
class Walker:
    """A person of a clip: subject and look by `seed`; place of the start on the floor, mm; direction, degrees."""

    motion: str
    start_mm: tuple[float, float]
    heading_deg: float
    seed: int


@dataclass(frozen=True)
class Clip:
    """A video to be: who moves, for how long, and boxes (centre on the floor, half width, height, mm) in the way."""

    name: str
    walkers: tuple[Walker, ...]
    seconds: float
    obstacles: tuple[tuple[float, float, float, float], ...] = ()


CLIPS = (
    Clip("walk", (Walker("walk", (-1800, 0), 90, 1),), 3.0),
    Clip("walk towards", (Walker("walk", (200, 2500), 0, 2),), 3.0),
    Clip("run", (Walker("run", (-1900, 500), 75, 3),), 1.6),
    Clip("dance", (Walker("dance_a", (0, 0), 20, 4),), 3.0),
    Clip("punch", (Walker("punch", (0, 0), -30, 5),), 2.0),
    Clip("crossing", (Walker("walk", (-1600, -300), 90, 6), Walker("walk", (1600, 900), -90, 7)), 3.0),
    Clip("behind a wall", (Walker("walk", (-2300, 900), 90, 8), Walker("dance_a", (1700, -300), 30, 9)), 4.0,
         ((0, -500, 900, 2300),)),
)  # fmt: skip


def camera() -> rigs.Camera:
    """Stands 1.4 m high and 4.6 m away, looking down a little."""
    center, aim = np.array([0.0, -4600.0, 1400.0]), np.array([0.0, 0.0, 900.0])
    forward = (aim - center) / np.linalg.norm(aim - center)
    right = np.array([1.0, 0.0, 0.0])
    focal = SIZE_WH[0] / 2 / np.tan(np.deg2rad(FOV_DEG) / 2)
    K = np.array([[focal, 0, (SIZE_WH[0] - 1) / 2], [0, focal, (SIZE_WH[1] - 1) / 2], [0, 0, 1.0]])
    return rigs.Camera(np.stack([right, np.cross(forward, right), forward]), center, K, np.zeros(5), SIZE_WH)


def rotations_at(motion: str, times_s: np.ndarray) -> np.ndarray:
    """[F, 13, 3, 3] rotations relative to the parent parts; clips that end elsewhere run to and fro."""
    local = poses.clips()[motion]
    cycle = np.arange(len(local))
    if motion not in CYCLES:
        cycle = np.concatenate([cycle, cycle[-2:0:-1]])
    at = times_s * CLIP_FPS
    order = cycle[np.arange(int(np.ceil(at.max())) + 2) % len(cycle)]
    parts = [
        Slerp(np.arange(len(order)), Rotation.from_matrix(local[order, part]))(at).as_matrix()
        for part in range(local.shape[1])
    ]
    return np.stack(parts, axis=1).astype(np.float32)


def moving(walker: Walker, times_s: np.ndarray) -> tuple[Callable[[int], Actor], np.ndarray]:
    """The person in each frame, and all joints [F, J, 3] mm, world."""
    rng = np.random.default_rng(walker.seed)
    model, regressor = body.load_body(), joints.all_joints()
    subject = int(rng.integers(len(model.samples)))
    rest_vertices, rest_heads = model.shaped(model.samples[subject])
    look = appearance.sample_look(rng, appearance.OUTFITS["everyday"])
    turn = body.matrix_from_rotvec(np.array([0, 0, np.deg2rad(walker.heading_deg)]))
    first = poses.to_global(rotations_at(walker.motion, np.zeros(1))[0])
    turn = turn @ poses.heading_free(first)[0] @ first[0].T
    feet = regressor.skeleton.indices(HEEL_TO_TOE)

    def posed(local):
        rotations = turn @ poses.to_global(local)
        vertices, heads = model.posed(rest_vertices, rest_heads, rotations)
        return vertices, regressor(vertices, heads), rotations

    local = rotations_at(walker.motion, times_s)
    places, found, before = np.zeros((len(times_s), 3)), [], None
    for i in range(len(times_s)):
        vertices, points, _ = posed(local[i])
        if before is None:
            place = np.array([*walker.start_mm, 0.0]) - [*points[:, :2].mean(axis=0), 0]
        else:  # the lower foot stays where it was
            support = feet[np.argmin(before[feet, 2] + points[feet, 2])]
            place = place + [*(before - points)[support, :2], 0]
        places[i] = [*place[:2], -vertices[:, 2].min()]
        found.append(points + places[i])
        before = points

    def actor(i: int) -> Actor:
        vertices, points, rotations = posed(local[i])
        normals = body.vertex_normals(vertices, model.faces)
        body.offset_along(vertices, normals, look.offset_mm)
        normals = body.vertex_normals(vertices, model.faces)
        shift = places[i].astype(np.float32)
        return Actor(vertices + shift, normals, points + shift, look, subject, walker.motion, rotations[0])

    return actor, np.stack(found)


def frames(clip: Clip, fps: float) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Pictures [H, W, 3] uint8 RGB one by one, and the true joints [P, F, J, 3] mm in the camera's frame."""
    times_s = np.arange(round(clip.seconds * fps)) / fps
    people = [moving(walker, times_s) for walker in clip.walkers]
    view = camera()
    truth = np.stack([(joints_mm - view.center_mm) @ view.R.T for _, joints_mm in people])
    rng = np.random.default_rng([*clip.name.encode()])
    place = scene.containing(background.sample_surroundings(rng, "hall", view.size_wh), view)
    things = props.no_props()
    for x, y, half, height in clip.obstacles:
        things += props.box(rng, [x, y, height / 2], [half, half / 2, height / 2], 0.0)
    spec = dataclasses.replace(next(iter(BOX.values())), photo_noise=0.3)
    seed = int(rng.integers(2**31))

    def pictures():
        for i in range(len(times_s)):
            actors = [actor(i) for actor, _ in people]
            # The same draws in each frame: light, tone and blur do not flicker.
            yield scene.draw(np.random.default_rng(seed), spec, place, view, actors, things)[0]

    return pictures(), truth
