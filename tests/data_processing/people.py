"""Stick people and their cameras: the ground truth from which the raw fixtures are written."""

from __future__ import annotations

import numpy as np

from data_processing.cameras import intrinsics, make_camera, project
from metrabs_acae.data.crop import looking_rotation
from metrabs_acae.data.records import CameraParams

# Standing, facing -y, z up, the person's left at +x; mm. Sided joints are given for the left.
CENTRAL = {
    **{"pelv": (0, 0, 950), "bell": (0, 0, 1050), "spin": (0, 0, 1120), "spi1": (0, 0, 1100), "spi2": (0, 0, 1200)},
    **{"spi4": (0, 0, 1400), "thor": (0, 0, 1350), "neck": (0, 0, 1480), "head": (0, -60, 1600)},
    **{"htop": (0, -20, 1750), "nose": (0, -120, 1600), "mhip": (0, 0, 930)},
}
SIDED = {
    **{
        "hip": (90, 0, 930),
        "kne": (100, -20, 500),
        "ank": (100, 0, 90),
        "foo": (100, -100, 40),
        "toe": (100, -180, 30),
    },
    **{
        "hee": (100, 40, 30),
        "cla": (60, 0, 1430),
        "sho": (180, 0, 1420),
        "elb": (250, 0, 1150),
        "wri": (280, -80, 900),
    },
    **{"han": (280, -110, 830), "fin": (280, -130, 760), "thu": (250, -130, 820), "eye": (35, -100, 1630)},
    **{"ear": (75, -10, 1610)},
}
ARM = ("elb", "wri", "han", "fin", "thu")


def pose(names, *, at=(0.0, 0.0), swing_mm: float = 0.0, seed: int = 0) -> np.ndarray:
    """[J, 3] mm of the joints with these base names; the right arm is moved forward by `swing_mm`.

    Names that are no joint of the stick person (markers) get a place on its trunk that depends on the name alone.
    """
    points = []
    for name in names:
        base, side = name.split("_")[0], name[0]
        if base in CENTRAL:
            point = np.array(CENTRAL[base], float)
        elif base[1:] in SIDED:
            point = np.array(SIDED[base[1:]], float) * [1 if side == "l" else -1, 1, 1]
            if side == "r" and base[1:] in ARM:
                point[1] -= swing_mm
        else:
            number = sum(ord(c) * (i + 1) for i, c in enumerate(base[1:] if side in "lr" else base))
            rng = np.random.default_rng(number)
            x = rng.uniform(20, 150) * (1 if side == "l" else -1 if side == "r" else 0)
            point = np.array([x, rng.uniform(-100, 100), rng.uniform(200, 1600)])
        points.append(point)
    return np.array(points) + [*at, 0]


def walk(names, n_frames: int, *, step_mm: float = 30.0, at=(0.0, 0.0)) -> np.ndarray:
    """[frames, J, 3] of a person that moves along x by `step_mm` a frame."""
    return np.stack([pose(names, at=(at[0] + step_mm * i, at[1])) for i in range(n_frames)])


def camera(
    azimuth_deg: float = 20.0, *, size_wh=(640, 480), distance_mm=5000.0, focal=None, distortion=None, up=(0, 0, 1)
) -> CameraParams:
    """A camera on a ring around the people, looking at their middle."""
    angle = np.radians(azimuth_deg)
    center = np.array([np.sin(angle) * distance_mm, -np.cos(angle) * distance_mm, 1500])
    R = looking_rotation(np.array([0, 0, 900.0]) - center, np.array([0, 0, 1.0]))
    focal = focal or size_wh[0] * 1.1
    K = intrinsics(focal, focal * 1.01, size_wh[0] / 2 - 3, size_wh[1] / 2 + 5)
    return make_camera(R, center, K, distortion=distortion, world_up=up)


def turn_world(camera: CameraParams, matrix, up) -> CameraParams:
    """The camera in a world whose axes are those of `matrix` (x_new = matrix x)."""
    matrix = np.asarray(matrix, float)
    return make_camera(
        camera.R @ matrix.T, matrix @ camera.optical_center_mm, camera.K, distortion=camera.lens, world_up=up
    )


def picture(size_wh, level: int, points_px=()) -> np.ndarray:
    """A grey picture of known level (which tells frames apart) with a white spot at each of the points."""
    import cv2

    image = np.full((size_wh[1], size_wh[0], 3), level, np.uint8)
    points_px = np.asarray(points_px).reshape(-1, 2)
    for x, y in points_px[np.isfinite(points_px).all(1)]:
        cv2.circle(image, (round(x * 16), round(y * 16)), 6 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return image


def spot_error_px(image: np.ndarray, point_px, *, radius: int = 14) -> float:
    """How far the white spot near a point of a picture is from it (centre of brightness)."""
    x, y = np.round(point_px).astype(int)
    left, top = max(0, x - radius), max(0, y - radius)
    patch = image[top : y + radius + 1, left : x + radius + 1, 0].astype(float)
    weight = np.maximum(0, patch - (np.median(image) + 255) / 2)
    yy, xx = np.mgrid[: patch.shape[0], : patch.shape[1]]
    found = np.array([(weight * xx).sum(), (weight * yy).sum()]) / weight.sum() + [left, top]
    return float(np.linalg.norm(found - point_px))


def write_video(path, frames, *, fps: int = 25, codec: str = "libx264") -> None:
    """Writes RGB frames; the container follows from the file's ending."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        height, width = frames[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "12", "preset": "ultrafast"}
        else:
            stream.bit_rate = 20_000_000
        for image in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def check_reprojection(row, *, joint: int, level: int | None = None, tolerance_px: float = 0.5) -> None:
    """The white spot that the fixture drew at a joint is where the stored camera projects the stored joint.

    `level` is the grey of the frame that the picture should be of.
    """
    from data_processing.images import read_image

    image = read_image(row.image_path)
    if level is not None:
        assert abs(np.median(image[image > 15]) - level) < 2.5  # black lies outside the frame
    expected = project(row.camera, row.coords[joint])
    assert spot_error_px(image, expected) < tolerance_px, spot_error_px(image, expected)


def write_c3d(path, points, *, names, rate=50.0, unit="mm") -> None:
    """Points [frames, points, 3] (NaN = lost) as a C3D file."""
    import ezc3d

    points = np.asarray(points, float)
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [float(rate)]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(names)
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    table = np.ones((4, points.shape[1], len(points)))
    table[:3] = points.transpose(2, 1, 0)
    file["data"]["points"] = table
    path.parent.mkdir(parents=True, exist_ok=True)
    file.write(str(path))


def rows_of(store, split: str = "train") -> list:
    """The examples of a split."""
    return [store.row(split, i) for i in range(store.splits.get(split, 0))]
