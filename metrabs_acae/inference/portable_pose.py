"""The whole way from one picture to poses as a graph around the network.

What is computed is that of `PoseEstimator.estimate_poses` with one sample a crop pixel, for all crops at once, without
a loop. That method stops where an argument is wrong; a graph cannot, so the poses concerned are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from metrabs_acae.inference.error_map import ErrorMap
from metrabs_acae.inference.graph import Graph, Value
from metrabs_acae.inference.portable_crops import Crops, inverse_2x2, render_crops
from metrabs_acae.numpy_runtime import lens, rules
from metrabs_acae.numpy_runtime.crop_views import MIN_DEPTH_MM, AugmentationRanges

INPUTS = {
    "image": ("uint8", ["H", "W", 3]),
    "boxes": ("float32", ["N", 4]),
    "intrinsic_matrix": ("float32", [3, 3]),
    "distortion_coeffs": ("float32", [12]),
    "world_up_vector": ("float32", [3]),
    "num_aug": ("int32", []),
}
"""Type and shape of each."""
USUAL_FOV_DEGREES = 55.0


def whole_way(
    g: Graph,
    network: Callable[[dict[str, Value]], dict[str, Value]],
    *,
    image_size: int,
    mirror: Sequence[int],
    joint_transform: np.ndarray | None,
    rotation_mode: str,
    ranges: AugmentationRanges,
    center_offset_px: float,
    error_map: ErrorMap | None = None,
) -> dict[str, tuple[Value, list]]:
    """The outputs that docs/use-the-model.md lists, and their shapes, of `INPUTS`.

    Args:
        network: of any number of crops, with the inputs and outputs of `crop_export`.
        mirror: [J] the mirror map of its joints. joint_transform: [J, J'] applied to them.
        rotation_mode, ranges, center_offset_px, error_map: as of `PoseEstimator`.
    """
    given = [g.input(name, *of_input) for name, of_input in INPUTS.items()]
    image, given_boxes, given_intrinsics, distortion, up, num_aug = given
    num_aug = g.maximum(num_aug, 1).cast("int64")

    size = image.shape[1], image.shape[0]
    (intrinsics, distortion, up), camera_is_valid = _camera(g, given_intrinsics, distortion, up, size, center_offset_px)
    n_given = given_boxes.shape[0]
    # The network always sees somebody: not every runtime can compute with no crops.
    filling = g.op("Expand", np.float32(1), g.vector([g.maximum(1 - n_given, 0), 4]), rank=2)
    boxes = g.concat([given_boxes, filling], 0)
    are_boxes = _are_boxes(g, boxes, size)
    boxes = g.where(are_boxes[:, None], boxes, [[0.0, 0.0, 1.0, 1.0]])
    crops = _crops(g, boxes, intrinsics, distortion, up, image_size, _augmentations(g, num_aug, rotation_mode, ranges))

    pictures = render_crops(g, image, size, intrinsics, distortion, crops, image_size, center_offset_px)
    inputs = {
        "image": pictures,
        "intrinsics": _crop_intrinsics(g, crops.scale, intrinsics, image_size, center_offset_px),
    }
    poses, entropy = _in_camera(g, network(inputs), crops, num_aug, mirror, joint_transform)

    poses2d = _project(g, poses, intrinsics, distortion)
    mean, entropy = poses.reduce("Mean", [1]), entropy.reduce("Mean", [1])
    if error_map is None:
        uncertainty = ((poses - mean[:, None]) ** 2).reduce("Mean", [1]).reduce("Sum", [2]) ** 0.5
    else:
        uncertainty = ((entropy - error_map.centers) * error_map.slopes).unary("Exp") * error_map.levels_mm
    found = {
        "poses3d": mean,
        "poses2d": poses2d.reduce("Mean", [1]),
        "uncertainty": uncertainty,
        "entropy": entropy,
    }
    is_valid = are_boxes & camera_is_valid
    n_joints = len(mirror) if joint_transform is None else joint_transform.shape[1]
    results = {}
    for name, value in found.items():
        valid = is_valid[(slice(None),) + (None,) * (value.rank - 1)]
        more = {"poses3d": [3], "poses2d": [2]}.get(name, [])
        results[name] = g.where(valid, value, float("nan"))[0:n_given], ["N", n_joints, *more]
    return results


def _camera(g: Graph, given: Value, distortion: Value, up: Value, size, center_offset_px: float):
    """Intrinsics, lens and up vector, those of a usual camera in the place of what is unknown or cannot be, and whether
    the given camera can be."""
    width, height = (s.cast("float32") for s in size)
    focal = g.maximum(width, height) / (2 * math.tan(math.radians(USUAL_FOV_DEGREES) / 2))
    rows = [[focal, 0.0, width / 2 + center_offset_px], [0.0, focal, height / 2 + center_offset_px], [0.0, 0.0, 1.0]]
    usual = g.stack([g.stack(row) for row in rows[:2]] + [g.constant(rows[2])], axis=0)
    intrinsics = g.where(given.equals(-1.0).all(), usual, given)
    conditions, require = _collector()
    rules.view(rules.intrinsics(intrinsics, require), width, height, require)
    rules.distortion(distortion, intrinsics, g.minimum(width, height), require)
    length = (up * up).reduce("Sum") ** 0.5
    require(up, (length > 1e-6) & (length < float("inf")), "")
    is_valid = g.stack([c.all() for c in conditions]).all()
    pairs = (intrinsics, usual), (distortion, [0.0] * 12), (up, [0.0, -1.0, 0.0])
    return [g.where(is_valid, value, other) for value, other in pairs], is_valid


def _are_boxes(g: Graph, boxes: Value, size) -> Value:
    """[N] bool"""
    conditions, require = _collector()
    rules.boxes_in_picture(rules.boxes(boxes, require), *(s.cast("float32") for s in size), require)
    return g.stack([c if c.rank == 1 else c.all([1]) for c in conditions]).all([1])


def _collector() -> tuple[list[Value], Callable]:
    """A `require` for `rules`, and the list in which it puts the conditions."""
    conditions = []

    def require(value, condition, message):
        conditions.append(condition)
        return value

    return conditions, require


def _linspace(g: Graph, start: float, stop, count: Value, *, endpoint: bool = True) -> Value:
    """As `crop_views.linspace`; `stop` may be a value."""
    numbers = g.arange(count).cast("float32")
    span = stop - start
    if not endpoint:
        return numbers * (span / g.maximum(count, 1).cast("float32")) + start
    spread = numbers * (span / g.maximum(count - 1, 1).cast("float32")) + start
    return g.where(count.equals(1), g.as_value((start + stop) / 2, "float32"), spread)


def _augmentations(g: Graph, num_aug: Value, rotation_mode: str, ranges: AugmentationRanges):
    """As `crop_views.augmentations`: gammas, angles (radians), zooms, and whether mirrored, [A] each."""
    half = num_aug // 2
    limit = math.radians(ranges.rotation_degrees)
    if rotation_mode == "limited":
        angles = _linspace(g, -limit, limit, num_aug)
    elif rotation_mode == "full":
        end = math.pi * (1 - 1 / num_aug.cast("float32"))
        angles = g.arange(num_aug).cast("float32") * (2 * end / g.maximum(num_aug - 1, 1).cast("float32")) - end
    else:
        around = 2 * math.pi * (g.arange(half) + 1).cast("float32") / (half + 1).cast("float32")
        around = g.where(around > math.pi, around - 2 * math.pi, around)
        angles = _sorted(g, g.concat([_linspace(g, -limit, limit, num_aug - half), around], 0))
    zooms = [
        _linspace(g, ranges.zoom_out, 1.0, half, endpoint=False),
        _linspace(g, 1.0, ranges.zoom_in, num_aug - half),
    ]
    gammas = _linspace(g, ranges.gamma, 1.0, num_aug)
    return gammas, angles, g.concat(zooms, 0), ((g.arange(num_aug) - half) % 2).equals(1)


def _sorted(g: Graph, values: Value) -> Value:
    """[K], smallest first."""
    # an angle's rank is the number of those below it; equal ones do not come up
    rank = (values[:, None] > values).cast("int64").reduce("Sum", [1])
    return g.op("ScatterElements", values, rank, values, rank=1, axis=0)


def _norm(*components: Value) -> Value:
    return sum((c * c for c in components[1:]), components[0] * components[0]) ** 0.5


def _unit(g: Graph, components):
    length = g.maximum(_norm(*components), 1e-6)
    return [c / length for c in components]


def _cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _upright(g: Graph, forward, up: Value):
    """As `crop_views.look_at_rotation`: 3 rows of 3 entries [N], from the components of `forward`, [N] each."""
    z = _unit(g, forward)
    x = _cross(z, _unit(g, [up[0], up[1], up[2]]))
    other = [z[2], z[0] * 0.0, -z[0]]  # z x (0, -1, 0)
    fallback = _cross(z, [z[0] * 0.0, -z[2], z[1]])
    fallback = [g.where(_norm(*other) > 1e-3, a, b) for a, b in zip(other, fallback, strict=True)]
    x = _unit(g, [g.where(_norm(*x) > 1e-4, a, b) for a, b in zip(x, fallback, strict=True)])
    return [x, _cross(z, x), z]


def _crops(g: Graph, boxes: Value, intrinsics, distortion, up, image_size: int, augmentations) -> Crops:
    """As `crop_views.crop_cameras`, of all people at once."""
    x, y, w, h = (boxes[:, i] for i in range(4))
    cx, cy = x + w / 2, y + h / 2
    px, py = g.stack([cx, cx, cx, x, x + w]) - intrinsics[0, 2], g.stack([cy, y, y + h, cy, cy]) - intrinsics[1, 2]
    a, b, c, d = inverse_2x2(intrinsics)
    seen = px * a + py * b, px * c + py * d
    coefficients = [distortion[i] for i in range(12)]
    found = lens.undistort(*seen, coefficients)
    converged = lens.is_inverse(*lens.distort(*found, coefficients), *seen)
    u, v = (g.where(converged, f, s) for f, s in zip(found, seen, strict=True))  # [N, 5]
    rows = _upright(g, [u[:, 0], v[:, 0], u[:, 0] * 0.0 + 1.0], up)
    side_x, side_y, side_z = (r[0][:, None] * u[:, 1:] + (r[1][:, None] * v[:, 1:] + r[2][:, None]) for r in rows)
    depth = g.maximum(side_z, 1e-6)
    side_x, side_y = side_x / depth, side_y / depth
    side_x, side_y = (intrinsics[i, 0] * side_x + intrinsics[i, 1] * side_y for i in range(2))
    lengths = [_norm(side_x[:, i] - side_x[:, i + 1], side_y[:, i] - side_y[:, i + 1]) for i in (0, 2)]
    side = g.maximum(*lengths)

    gammas, angles, zooms, mirrored = augmentations
    cosine, sine = (angles.unary(kind) for kind in ("Cos", "Sin"))
    sign = g.where(mirrored, g.constant(-1.0), g.constant(1.0))
    across, down, ahead = ([entry[:, None] for entry in row] for row in rows)
    rotation = [
        [(cosine * i + sine * j) * sign for i, j in zip(across, down, strict=True)],
        [cosine * j - sine * i for i, j in zip(across, down, strict=True)],
        [i + zooms * 0.0 for i in ahead],
    ]
    return Crops(rotation, zooms * (image_size / g.maximum(side, 1e-3))[:, None], gammas, mirrored)


def _crop_intrinsics(g: Graph, scale: Value, intrinsics: Value, image_size: int, center_offset_px: float) -> Value:
    """[C, 3, 3]"""
    scale = scale.reshape(-1)
    center = scale * 0.0 + (image_size / 2 + center_offset_px)
    rows = [g.stack([scale * intrinsics[i, 0], scale * intrinsics[i, 1], center]) for i in range(2)]
    last = g.stack([scale * 0.0, scale * 0.0, scale * 0.0 + 1.0])
    return g.concat([r[:, None] for r in (*rows, last)], 1)


def _in_camera(g: Graph, outputs, crops: Crops, num_aug: Value, mirror, joint_transform):
    """Poses [N, A, J, 3] in the picture's camera frame and entropies [N, A, J], zero if the network knows none."""
    poses = outputs["coords3d_mm"]
    entropy = outputs.get("entropy", poses[:, :, 0] * 0.0)[:, :, None]
    values = g.concat([poses, entropy], 2)
    values = values.reshape(-1, num_aug, len(mirror), 4)
    mirrored = crops.mirrored[:, None, None]
    values = g.where(mirrored, g.gather(values, np.asarray(mirror, np.int64), axis=2), values)
    x, y, z = (values[..., i] for i in range(3))
    rotation = [[entry[:, :, None] for entry in row] for row in crops.rotation]
    turned = [x * rotation[0][k] + y * rotation[1][k] + z * rotation[2][k] for k in range(3)]
    poses, entropy = g.stack(turned), values[..., 3:]
    if joint_transform is not None:
        shares = np.abs(joint_transform) / np.abs(joint_transform).sum(0)
        poses, entropy = (
            g.op("MatMul", np.float32(weights.T), v, rank=4, dtype="float32")
            for weights, v in ((joint_transform, poses), (shares, entropy))
        )
    return poses, entropy[..., 0]


def _project(g: Graph, poses: Value, intrinsics: Value, distortion: Value) -> Value:
    """As `crop_views.project`."""
    depth = g.maximum(poses[..., 2], MIN_DEPTH_MM)
    u, v = poses[..., 0] / depth, poses[..., 1] / depth
    seen = lens.distort(u, v, [distortion[i] for i in range(12)])
    u, v = (g.where(abs(s) < float("inf"), s, n) for s, n in zip(seen, (u, v), strict=True))
    return g.stack([intrinsics[i, 0] * u + (intrinsics[i, 1] * v + intrinsics[i, 2]) for i in range(2)])
