"""One picture with its labels: people, objects, light, camera and crop, drawn from one random generator."""

from __future__ import annotations

import functools
import zlib

import cv2
import numpy as np

from data_processing.synthetic import appearance, background, body, joints, poses, render, rigs
from data_processing.synthetic.datasets import StoreSpec
from data_processing.synthetic.labels import Actor, Row, joint_index, label
from data_processing.synthetic.props import Props, box, chair, no_props

MAX_ATTEMPTS = 30
MIN_VISIBLE = 0.4  # of the first person's silhouette
HELD_OUT_SUBJECTS = 5  # every fifth person of the body model is seen in test splits only
_LIFTED = ("jump", "backflip", "spinkick", "cartwheel", "run")


def make_example(spec: StoreSpec, split: str, index: int, seed: int) -> tuple[np.ndarray, list[Row]]:
    """Image number `index` of a split: [h, w, 3] uint8 RGB and its people. A pure function of the arguments."""
    for attempt in range(MAX_ATTEMPTS):
        rng = np.random.default_rng([seed, zlib.crc32(f"{spec.name}/{split}".encode()), index, attempt])
        result = _attempt(rng, spec, split)
        if result is not None:
            return result
    raise RuntimeError(f"{spec.name}, {split} image {index}: nobody came into view in {MAX_ATTEMPTS} attempts")


def _attempt(rng, spec: StoreSpec, split: str):
    exact = split != "train"
    held_out = split == "test"
    rig = rigs.RIGS[spec.rig]
    position = rigs.stage_position(rng, rig)
    first = _actor(rng, spec, position, held_out)
    camera, camera_number = rigs.sample_camera(rng, spec.rig, first.staged_joints.mean(axis=0))
    actors = [first]
    for _ in range(rng.integers(spec.people[0], spec.people[1] + 1) - 1):
        actors.append(_actor(rng, spec, _beside(rng, spec, position, camera), held_out))
    camera = _crop(rng, spec, camera, actors, exact)
    if camera is None:
        return None
    props = _props(rng, spec, actors, camera)
    place = background.sample_surroundings(rng, spec.place, camera.size_wh)
    place = containing(place, camera)
    image, owner, whole_area = draw(rng, spec, place, camera, actors, props)
    if (owner == 0).sum() < MIN_VISIBLE * whole_area:
        return None
    rows = []
    for i, actor in enumerate(actors if spec.all_labelled else actors[:1]):
        row = label(rng, spec, exact, camera, camera_number, actor, i, owner)
        if row is not None:
            rows.append(row)
    return (image, rows) if rows else None


# --- people -----------------------------------------------------------------------------------------------------------


@functools.cache
def _subject_pool(name: str, n: int, heights_mm: tuple[float, float], held_out: bool) -> np.ndarray:
    """Rows of `Body.samples` that a store's training (or test) people are."""
    heights = load_heights()
    rows = np.flatnonzero((heights > heights_mm[0]) & (heights < heights_mm[1]))
    rows = rows[(rows % HELD_OUT_SUBJECTS == 0) == held_out]
    return np.random.default_rng([*name.encode()]).permutation(rows)[:n]


def load_heights() -> np.ndarray:
    return body.load_body().heights_mm


@functools.lru_cache(maxsize=256)
def _shape(subject: int) -> tuple[np.ndarray, np.ndarray]:
    model = body.load_body()
    return model.shaped(model.samples[subject])


def posed_person(rng, spec: StoreSpec, held_out: bool):
    """One of a store's people in a pose: number of the person, activity, global rotations of the parts, vertices
    [V, 3] and joints [J, 3] of `joints.all_joints()`, mm."""
    model = body.load_body()
    pool = _subject_pool(spec.name, spec.subjects, spec.heights_mm, held_out)
    subject = int(pool[rng.integers(len(pool))])
    rest_vertices, rest_heads = _shape(subject)
    rotations, activity = poses.sample_pose(rng, spec.motions, held_out=held_out)
    turn = body.matrix_from_rotvec(np.array([0, 0, rng.uniform(0, 2 * np.pi)]))
    rotations = turn @ rotations
    vertices, heads = model.posed(rest_vertices, rest_heads, rotations)
    return subject, activity, rotations, vertices, joints.all_joints()(vertices, heads)


def _actor(rng, spec: StoreSpec, position_mm, held_out: bool) -> Actor:
    subject, activity, rotations, vertices, points = posed_person(rng, spec, held_out)
    faces = body.load_body().faces
    look = appearance.sample_look(rng, appearance.OUTFITS[spec.outfit])
    normals = body.vertex_normals(vertices, faces)
    body.offset_along(vertices, normals, look.offset_mm)
    normals = body.vertex_normals(vertices, faces)
    lift = rng.uniform(50, 350) if activity in _LIFTED and rng.random() < 0.3 else 0.0
    shift = np.array(
        [*(position_mm - points[: joints.n_staged(), :2].mean(axis=0)), lift - body.bounds(vertices)[0][2]], np.float32
    )
    return Actor(vertices + shift, normals, points + shift, look, subject, activity, rotations[0])


def _beside(rng, spec: StoreSpec, position_mm, camera) -> np.ndarray:
    """[2] mm where another person stands: mostly next to the first as the camera sees it, rarely in the way."""
    away = position_mm - camera.center_mm[:2]
    away /= max(np.linalg.norm(away), 1.0)
    across = np.array([-away[1], away[0]]) * rng.choice([-1, 1])
    spread = (450, 1100) if spec.all_labelled else (400, 1600)
    return position_mm + across * rng.uniform(*spread) + away * rng.uniform(-500, 1300)


# --- camera -----------------------------------------------------------------------------------------------------------


def _crop(rng, spec: StoreSpec, camera, actors, exact: bool):
    """The camera of an image around the person (or everyone labelled), as an efficient crop; None if too close."""
    boxes = []
    for actor in actors if spec.all_labelled else actors[:1]:
        points, depth = camera.project(actor.vertices)
        if depth.min() < 600:
            return None
        boxes.append(np.concatenate(body.bounds(points)))
    boxes = np.array(boxes)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1))
    center = (low + high) / 2
    if spec.all_labelled:
        scale = spec.detail * rng.uniform(135, 165) / side
        size = np.clip(np.ceil(((high - low) * scale + 60) / 16) * 16, 224, 416 * spec.detail).astype(int)
    else:
        scale = spec.detail * rng.uniform(150, 190) / side
        size = np.array([[272, 272], [304, 240], [240, 304]][rng.integers(3)])
        size = np.round(size * spec.detail / 16).astype(int) * 16
        spare = size / scale / 2
        if rng.random() < spec.truncated:
            # Cut a part of the person off at one border.
            axis = rng.integers(2)
            extent = (high - low)[axis]
            cut = rng.uniform(0.15, 0.4) * extent
            center[axis] += rng.choice([-1, 1]) * (spare[axis] - extent / 2 + cut)
        else:
            free = np.maximum(spare - (high - low) / 2, 0)
            center += rng.uniform(-1, 1, 2) * free * (0.3 if exact else 0.8)
    left, top = center - size / scale / 2 + 0.5
    cropped = camera.cropped(left, top, scale, (int(size[0]), int(size[1])))
    cropped.K[:] = cropped.K.astype(np.float32)
    return cropped


# --- objects ----------------------------------------------------------------------------------------------------------


def _props(rng, spec: StoreSpec, actors, camera) -> Props:
    """Chairs under the seated, and objects between person and camera."""
    props = no_props()
    for actor in actors:
        if actor.activity == "sit" and rng.random() < 0.8:
            pelvis = actor.joints[joint_index("pelv_smpl")]
            props += chair(rng, pelvis, actor.root_rotation)
    if rng.random() < spec.occluders:
        target = actors[0].joints[joint_index("pelv_smpl")][:2]
        towards = camera.center_mm[:2] - target
        distance = np.linalg.norm(towards)
        towards = towards / distance
        across = np.array([-towards[1], towards[0]])
        place = target + towards * min(rng.uniform(500, 1000), distance / 2) + across * rng.normal(0, 300)
        tall = rng.random() < 0.3
        half = rng.uniform(40, 110, 2) if tall else rng.uniform(100, 380, 2)
        height = rng.uniform(1200, 2200) if tall else rng.uniform(250, 800)
        props += box(rng, [*place, height / 2], [*half, height / 2], rng.uniform(0, np.pi))
    return props


# --- picture ----------------------------------------------------------------------------------------------------------


def containing(place: background.Surroundings, camera) -> background.Surroundings:
    """The place, its walls moved back where the camera would stand outside."""
    bounds = place.bounds_mm.copy()
    bounds[:, 0] = np.minimum(bounds[:, 0], np.append(camera.center_mm[:2] - 500, 0))
    bounds[:, 1] = np.maximum(bounds[:, 1], camera.center_mm + 500)
    return background.Surroundings(bounds, place.textures, place.surfaces, place.sky, place.backdrop)


def _light(rng) -> np.ndarray:
    """[4, 3] direction towards the light, its colour, the sky's, the ground's."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(35, 80))
    flat = np.cos(elevation)
    direct = rng.uniform(0.15, 0.75)
    tint = 1 + rng.normal(0, 0.05, 3)
    ambient = rng.uniform(0.75, 1.0) - direct * 0.55
    return np.array(
        [
            [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)],
            direct * tint,
            ambient * (1 + rng.normal(0, 0.04, 3)),
            ambient * rng.uniform(0.45, 0.75) * (1 + rng.normal(0, 0.04, 3)),
        ],
        np.float32,
    )


def draw(rng, spec: StoreSpec, place, camera, actors, props: Props) -> tuple[np.ndarray, np.ndarray, float]:
    """The picture [h, w, 3] uint8, who owns each pixel [h, w] uint8 (number of the actor, or more), and how many
    pixels the first actor would own alone."""
    model, fields = body.load_body(), appearance.body_fields()
    width, height = camera.size_wh
    image, floor = background.draw(rng, place, camera)
    light = _light(rng)
    if place.has_floor:
        _cast_shadows(rng, image, floor, camera, actors, props, light)
    fine = camera.cropped(0, 0, render.SAMPLES, (width * render.SAMPLES, height * render.SAMPLES))
    shape = height * render.SAMPLES, width * render.SAMPLES
    zbuffer = np.full(shape, render.FAR, np.float32)
    faces, meshes = np.zeros(shape, np.int32), np.full(shape, render.NOBODY, np.uint8)
    projected = [fine.project(actor.vertices) for actor in actors]
    drawn = [
        render.rasterize(points, depth, model.faces, i, True, zbuffer, faces, meshes)
        for i, (points, depth) in enumerate(projected)
    ]
    if len(props.faces):
        points, depth = fine.project(props.vertices)
        render.rasterize(points, depth, props.faces, len(actors), True, zbuffer, faces, meshes)
    owner = np.empty((height, width), np.uint8)
    view = camera.center_mm - actors[0].staged_joints.mean(axis=0)
    render.shade(
        image, faces, meshes, np.stack([p for p, _ in projected]), np.stack([d for _, d in projected]),
        np.stack([a.normals for a in actors]), model.faces, fields.region, fields.paint, fields.rest, fields.values,
        np.stack([a.look.materials for a in actors]), np.stack([a.look.limits for a in actors]),
        len(actors), props.normals, props.colors, light, (view / np.linalg.norm(view)).astype(np.float32), owner,
    )  # fmt: skip
    return _develop(rng, spec, image), owner, drawn[0] / render.SAMPLES**2


def _cast_shadows(rng, image, floor, camera, actors, props, light) -> None:
    """Shadows on the floor: a cast one along the light, and a soft dark patch right under the people."""
    height, width = image.shape[:2]
    direction = light[0]
    strength = float(light[1].mean() / (light[1].mean() + light[2].mean())) * rng.uniform(0.6, 1.0)
    shadow = np.zeros((height, width), np.uint8)
    meshes = [(a.vertices, body.load_body().faces) for a in actors] + [(props.vertices, props.faces)]
    for vertices, faces in meshes:
        if not len(faces):
            continue
        flat = render.flattened(vertices, direction)
        points, depth = camera.project(flat)
        render.splat_shadow(points, depth, faces, shadow)
    size = 2 * int(rng.integers(0, 5)) + 1
    shadow = cv2.blur(cv2.blur(shadow, (size, size)), (3, 3))
    contact = np.zeros((height, width), np.uint8)
    for actor in actors:
        low = actor.staged_joints[actor.staged_joints[:, 2] < 160]
        if len(low):
            points, depth = camera.project(low * (1, 1, 0))
            radii = camera.K[0, 0] / depth * 110
            for (x, y), radius in zip(points, radii, strict=True):
                cv2.circle(contact, (int(x), int(y)), max(1, int(radius)), 255, -1)
    contact = cv2.blur(cv2.blur(contact, (9, 9)), (7, 7))
    render.darken(image, floor, shadow, min(strength, 0.75))
    render.darken(image, floor, contact, 0.4)


@functools.cache
def _noise_tile() -> np.ndarray:
    return np.clip(np.random.default_rng(3).normal(0, 32, (331, 331)), -127, 127).astype(np.int8)


def _develop(rng, spec: StoreSpec, image: np.ndarray) -> np.ndarray:
    """Lens blur, tone curve, sensor noise and, in rough pictures, an earlier lossy compression."""
    rough = spec.photo_noise
    if rng.random() < 0.6 * rough:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.4 + 0.8 * rough))
    gamma = np.exp(rng.normal(-0.08, 0.08 + 0.12 * rough))
    gain = np.exp(rng.normal(0, 0.04 + 0.06 * rough, 3) + rng.normal(0.06, 0.06 + 0.06 * rough))
    tone = np.linspace(0, 1, 256) ** gamma
    table = np.clip(gain[:, None] * tone * 255, 0, 255).astype(np.uint8)
    amplitude = int(rng.uniform(0.5, 2 + 6 * rough) / 32 * 256)
    row, column = rng.integers(0, 331, 2)
    render.add_noise(image, table, _noise_tile(), row, column, amplitude)
    if rng.random() < 0.5 * rough:
        quality = int(rng.integers(25, 85))
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return image
