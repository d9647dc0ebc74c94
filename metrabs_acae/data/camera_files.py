"""Calibrated cameras from the files that people have.

| file | written by | unit of places |
|---|---|---|
| `.json` | this project (`K`, `R`, `position_mm`, `lens`), with OpenCV's names, or `P`, 3 x 4 | mm, or `unit` |
| `transforms.json` | Instant-NGP, Nerfstudio: OpenGL's axes, camera to world | `unit` |
| `.yml`, `.yaml`, `.xml` | OpenCV's `FileStorage`: one camera, or a map of cameras | `unit` |
| `.toml` | Pose2Sim (metres), Anipose (of the calibration board) | `unit` |
| `.qca`, `.qca.txt`, `.xml` | Qualisys: pixels in 1/64, the camera's axes y up and z backwards | mm |

A lens is fisheye only where the file says so (`fisheye`, or a model's name); else its coefficients are Brown-Conrady's.
`axes: opengl` says that a camera looks along its -z, with y up.
"""

from __future__ import annotations

import json
import tomllib
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams, check_camera, check_view
from metrabs_acae.errors import UserError

MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
NAMES = {
    "K": ("K", "camera_matrix", "cameraMatrix", "matrix", "intrinsic_matrix", "intrinsics", "M"),
    "distortion": (
        "distortion",
        "distortions",
        "distortion_coefficients",
        "dist_coeffs",
        "distCoeffs",
        "distCoef",
        "D",
    ),
    "R": ("R", "rotation", "rvec", "rotation_matrix"),
    "t": ("t", "T", "translation", "tvec"),
    "size": ("size", "image_size", "imgSize", "resolution"),
}
"""What the parts of a camera are called in JSON, TOML and OpenCV's files."""
FISHEYE_NAMES = ("fisheye", "equidistant", "kannala_brandt", "opencv_fisheye")
OTHER_LENS_NAMES = ("fov", "omni", "mei", "double_sphere", "eucm", "ucm", "thin_prism_fisheye", "equirectangular")
LENS_KEYS = ("distortion_model", "lens_model", "camera_model", "model")
OPENGL_AXES = np.diag([1.0, -1.0, -1.0])
QUALISYS_SUBPIXELS = 64
NEAR_MM = 100.0
"""Cameras that all stand nearer to the origin than this are in other units than said."""
SAME_SIZE = 0.02
"""Pictures' sizes that differ by no more than this share count as the same (encoders cut off a few rows)."""


@dataclass(frozen=True)
class NamedCamera:
    """One camera of a file; without a known place it stands in the origin.

    Attributes:
        image_size_wh: of its pictures, None where the file does not say.
    """

    name: str
    camera: CameraParams
    image_size_wh: tuple[int, int] | None


def read_cameras(path, *, unit: str = "mm", world_up=(0.0, 0.0, 1.0)) -> list[NamedCamera]:
    """The cameras of a file, in its order.

    Args:
        unit: "mm", "cm", "m" or "in", of the places in the file, where the format does not fix it.
        world_up: the upward direction of the file's world, where the file does not say.

    Raises:
        UserError: an unknown or damaged file, no camera in it, a camera that cannot be, evidently another unit.
    """
    path = Path(path)
    if unit not in MM_PER_UNIT:
        raise UserError(f"The unit of a camera file is one of {', '.join(MM_PER_UNIT)}, not {unit!r}.")
    try:
        entries, is_mm = _read(path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"The camera file {path} does not exist.") from None
    except (OSError, ValueError, KeyError, TypeError, xml.etree.ElementTree.ParseError) as error:
        raise UserError(f"The camera file {path} cannot be read ({type(error).__name__}: {error}).") from None
    if not entries:
        raise UserError(f"{path} has no camera; each needs an intrinsic matrix, called {' or '.join(NAMES['K'][:4])}.")
    names = [name for name, _ in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path} has several cameras called '{twice[0]}'; give each a name of its own.")
    scale = 1.0 if is_mm else MM_PER_UNIT[unit]
    cameras = [_camera(name, fields, scale, world_up, path) for name, fields in entries]
    distances = [np.linalg.norm(c.camera.optical_center_mm) for c in cameras]
    if 0 < max(distances) < NEAR_MM:
        raise UserError(
            f"The cameras of {path} all stand within {max(distances):.3g} mm of the origin: give the unit of the "
            "file's places, unit='m' for metres."
        )
    return cameras


def _read(path: Path) -> tuple[list[tuple[str, dict]], bool]:
    """The cameras' names and fields, and whether places are in mm for sure."""
    name = path.name.lower()
    if name.endswith((".qca", ".qca.txt")):
        return _qualisys(xml.etree.ElementTree.fromstring(path.read_bytes())), True
    if name.endswith(".toml"):
        return _entries(tomllib.loads(path.read_text(encoding="utf-8-sig")), path.stem), False
    if name.endswith(".xml"):
        root = xml.etree.ElementTree.fromstring(path.read_bytes())
        if root.find(".//camera/intrinsic") is not None:
            return _qualisys(root), True
    if name.endswith(".json"):
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(data, dict) and isinstance(data.get("frames"), list):
            return _transforms(data), False
        if isinstance(data, dict) and isinstance(data.get("cameras"), list | dict):
            data = data["cameras"]
        if isinstance(data, list):
            data = {str(c.get("name", i)): c for i, c in enumerate(data)}
        return _entries(data, path.stem), False
    if name.endswith((".yml", ".yaml", ".xml")):
        return _entries(_opencv(path), path.stem), False
    raise UserError(f"{path} is no camera file that is known; give a .json, .yml, .xml, .toml or .qca.txt file.")


def _entries(data, name: str) -> list[tuple[str, dict]]:
    """One camera whose fields stand at the top, or those of the named parts that have an intrinsic matrix."""
    if not isinstance(data, dict):
        raise ValueError("it holds no cameras by name")
    if _is_camera(data):
        return [(str(data.get("name", name)), data)]
    parts = [(k, v) for k, v in data.items() if isinstance(v, dict) and _is_camera(v)]
    return [(str(fields.get("name", key)), fields) for key, fields in parts]


def _is_camera(fields: dict) -> bool:
    return _field(fields, "K") is not None or fields.get("P") is not None


def decompose(P) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K [3, 3], R [3, 3] and the position [3] of a projection matrix [3, 4] (Hartley and Zisserman, 6.2.4).

    Raises:
        ValueError: there is no camera in it.
    """
    from scipy.linalg import rq

    P = np.array(P, np.float64).reshape(3, 4)
    if not np.isfinite(P).all() or abs(np.linalg.det(P[:, :3])) <= 1e-12 * np.abs(P[:, :3]).max() ** 3:
        raise ValueError("P has no camera in it, its left 3 x 3 part is singular")
    P = P * np.sign(np.linalg.det(P[:, :3]))  # the same projection, with what is seen in front
    K, R = rq(P[:, :3])
    signs = np.diag(np.sign(np.diag(K)))
    K, R = K @ signs / K[2, 2] / signs[2, 2], signs @ R
    K[np.abs(K) < 1e-9 * K[0, 0]] = 0
    return K, R, -np.linalg.solve(P[:, :3], P[:, 3])


def _field(fields: dict, part: str):
    return next((fields[name] for name in NAMES[part] if fields.get(name) is not None), None)


def _camera(name: str, fields: dict, scale: float, world_up, path: Path) -> NamedCamera:
    import cv2

    try:
        if _field(fields, "K") is None:
            K, R, position = decompose(fields["P"])
            fields = {**fields, "K": K, "R": R, "position_mm": position * scale}
        K = np.array(_field(fields, "K"), np.float64)
        if K.shape == (4,):
            K = np.array([[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1]])
        R = np.array(np.eye(3) if _field(fields, "R") is None else _field(fields, "R"), np.float64)
        R = R.reshape(3, 3) if R.size == 9 else cv2.Rodrigues(R.reshape(3))[0]
        if "position_mm" in fields:
            center = np.array(fields["position_mm"], np.float64)
        else:
            t = np.zeros(3) if _field(fields, "t") is None else np.array(_field(fields, "t"), np.float64).reshape(3)
            center = -R.T @ t * scale
        if str(fields.get("axes", "")).lower() == "opengl":
            R = OPENGL_AXES @ R  # the place stays the same
        size = _field(fields, "size")
        size = None if size is None else tuple(int(v) for v in np.ravel(size))
        up = fields.get("up") or world_up
        camera = check_camera(CameraParams(R, center, K.reshape(3, 3), _lens(fields), up))
        if size is not None:
            check_view(camera, size)
    except (ValueError, TypeError, cv2.error) as error:
        reason = str(error).strip().splitlines()[-1].rstrip(".")
        raise UserError(f"The camera '{name}' of {path} cannot be used: {reason}.") from None
    return NamedCamera(name, camera, size)


def _lens(fields: dict) -> Lens:
    if fields.get("lens") is not None:
        return Lens.from_json(fields["lens"])
    coefficients = _field(fields, "distortion")
    if coefficients is None:
        return Lens()
    names = {str(fields.get(key, "")).lower() for key in LENS_KEYS}
    if names & set(OTHER_LENS_NAMES):
        raise ValueError(f"its lens model {', '.join(names & set(OTHER_LENS_NAMES))} is not known here")
    if fields.get("fisheye") or names & set(FISHEYE_NAMES):
        return Lens.fisheye(coefficients)
    return Lens.brown_conrady(coefficients)


def _transforms(data: dict) -> list[tuple[str, dict]]:
    """The views of a scene, whose intrinsics stand with each of them or once for all."""
    entries = []
    for i, frame in enumerate(data["frames"]):
        get = {**data, **frame}.get
        size = [get("w"), get("h")]
        if get("fl_x") is None and get("camera_angle_x") is None:
            continue
        fx = get("fl_x") or size[0] / 2 / np.tan(get("camera_angle_x") / 2)
        K = [fx, get("fl_y") or fx, get("cx", size[0] and size[0] / 2), get("cy", size[1] and size[1] / 2)]
        K[2:] = [c - 0.5 for c in K[2:]]  # there, pixel (0, 0) begins at 0
        fisheye = str(get("camera_model", "")).lower() in FISHEYE_NAMES
        k = [
            float(get(name) or 0) for name in (("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3"))
        ]
        pose = np.array(frame["transform_matrix"], np.float64).reshape(-1, 4)[:3]
        fields = {"K": K, "R": pose[:, :3].T, "t": -pose[:, :3].T @ pose[:, 3], "axes": "opengl", "distortion": k}
        fields |= {"size": size if all(size) else None, "camera_model": get("camera_model", "")}
        entries.append((Path(str(frame.get("file_path", i))).stem, fields))
    return entries


def _opencv(path: Path) -> dict:
    """What an OpenCV file holds, matrices as arrays."""
    import cv2

    def value(node):
        if node.isMap():
            keys = node.keys()
            return node.mat() if {"dt", "data"} <= set(keys) else {key: value(node.getNode(key)) for key in keys}
        if node.isSeq():
            return [value(node.at(i)) for i in range(node.size())]
        return node.string() if node.isString() else node.real()

    try:
        text = path.read_text(encoding="utf-8-sig")
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        data = value(storage.root())
    except (cv2.error, SystemError) as error:
        raise ValueError(f"OpenCV does not understand it; {str(error).strip().splitlines()[-1]}") from None
    return data if isinstance(data, dict) else {}


def _qualisys(root) -> list[tuple[str, dict]]:
    """Lengths in pixels are 64ths there. The camera's axes are x right, y up, z towards the camera."""
    entries = []
    for i, camera in enumerate(root.iter("camera")):
        place, lens = camera.find("transform"), camera.find("intrinsic")
        if place is None or lens is None:
            continue
        number = {name: float(text) for part in (place, lens) for name, text in part.attrib.items()}
        R = np.array([[number[f"r{row}{column}"] for column in (1, 2, 3)] for row in (1, 2, 3)])
        K = [number[f"{name}{axis}"] / QUALISYS_SUBPIXELS for name in ("focalLength", "centerPoint") for axis in "UV"]
        sides = [number[f"sensorMax{axis}"] - number[f"sensorMin{axis}"] for axis in "UV"]
        k = [number[f"{kind}Distortion{i}"] for kind in ("radial", "tangental") for i in (1, 2)]
        fields = {
            "K": K,
            "R": np.diag([1.0, -1, -1]) @ R,
            "position_mm": [number[axis] for axis in "xyz"],
            "distortion": [*k, number.get("radialDistortion3", 0.0)],
            "size": [round(side / QUALISYS_SUBPIXELS) + 1 for side in sides],  # to the last pixel, inclusive
        }
        entries.append((camera.get("serial", str(i)), fields))
    return entries
