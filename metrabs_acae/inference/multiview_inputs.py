"""Several videos of the same scene and their calibrated cameras, checked before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.camera_files import NamedCamera, read_cameras
from metrabs_acae.data.lens import distort_points, undistort_points
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.triangulation import world_directions
from metrabs_acae.inference import demo_inputs
from metrabs_acae.inference.demo_cameras import intrinsics_at_size
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_video import open_moving
from metrabs_acae.inference.multiview_settings import Multiview
from metrabs_acae.inference.video import Frame

MIN_DEPTH_MM = 1.0
FAR_MM = 100_000.0
"""Files whose cameras would stand farther from the origin, if they were in metres, are in mm."""
SAME_RATE = 0.01
"""Frame rates that differ by no more than this share count as the same."""
UPRIGHT = 0.7
"""A world's z axis that the mean camera's upward direction has less of is not its upward direction."""


@dataclass(frozen=True)
class View:
    """A video and its camera, at the video's size. The lens is one that the model takes into account."""

    item: DemoInput
    camera: CameraParams
    camera_name: str
    image_size_wh: tuple[int, int]

    @property
    def name(self) -> str:
        return self.item.name

    @property
    def extrinsics(self) -> np.ndarray:
        """[4, 4] world to camera, mm."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.camera.R, -self.camera.R @ self.camera.optical_center_mm
        return matrix

    def to_camera(self, world_mm: np.ndarray) -> np.ndarray:
        return (world_mm - self.camera.optical_center_mm) @ self.camera.R.T

    def to_world(self, camera_mm: np.ndarray) -> np.ndarray:
        return camera_mm @ self.camera.R + self.camera.optical_center_mm

    def directions(self, points_px: np.ndarray) -> np.ndarray:
        """Unit directions [..., 3] in the world of the rays through pixels [..., 2]."""
        flat = undistort_points(points_px.reshape(-1, 2), self.camera.K, self.camera.lens)[:, :2]
        return world_directions(flat.reshape(points_px.shape), self.camera.R)

    def project(self, world_mm: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] of world points [..., 3]; NaN behind the camera and where the lens has no value."""
        points = self.to_camera(world_mm)
        ahead = points[..., 2:] > MIN_DEPTH_MM
        normalized = points[..., :2] / np.where(ahead, points[..., 2:], 1.0)
        seen = ahead[..., 0] & (np.linalg.norm(normalized, axis=-1) < self.camera.lens.valid_radius)
        normalized = np.where(seen[..., np.newaxis], normalized, 0.0)
        pixels = distort_points(normalized.reshape(-1, 2), self.camera.K, self.camera.lens)
        return np.where(seen[..., np.newaxis], pixels.reshape(normalized.shape), np.nan)


class Moments:
    """Iterates over what all views show at the same time: (number, seconds, {view's number: frame}).

    A view is missing where its frame cannot be decoded. Numbers and times are those of the first video; while that is
    missing, other videos tell the time that has passed.

    Attributes:
        views: in the order of the videos. n_moments, fps: as the files say, or None.
    """

    def __init__(self, items: Sequence[DemoInput], settings: Multiview):
        cameras = _cameras_of(items, settings)
        self._readers = []
        try:
            for item in items:
                self._readers.append(open_moving(item.path))
            self._offsets = _offsets(items, self._readers, settings.sync)
            self._streams = [iter(reader) for reader in self._readers]
            self._waiting = [next(stream, None) for stream in self._streams]
            self.views = [
                _view(item, camera, frame) for item, camera, frame in zip(items, cameras, self._waiting, strict=True)
            ]
        except UserError:
            self.close()
            raise
        lengths = [r.n_frames and r.n_frames - n for r, n in zip(self._readers, self._offsets, strict=True)]
        self.n_moments = min(lengths) if all(lengths) else None
        self.fps = self._readers[0].fps

    def __iter__(self) -> Iterator[tuple[int, float, dict[int, Frame]]]:
        moment, first, starts_s = 0, None, {}  # the last by view: its own time of the first moment
        while all(self._waiting):
            numbers = [frame.index - n for frame, n in zip(self._waiting, self._offsets, strict=True)]
            if min(numbers) >= moment:
                moment = min(numbers)
                shown = {i: self._waiting[i] for i, number in enumerate(numbers) if number == moment}
                first = moment if first is None else first
                passed_s = [frame.time_s - starts_s[i] for i, frame in shown.items() if i in starts_s]
                time_s = passed_s[0] if passed_s else (moment - first) / (self.fps or 25.0)
                starts_s = {i: frame.time_s - time_s for i, frame in shown.items()} | starts_s
                yield moment + self._offsets[0], time_s, shown
                moment += 1
            for i, number in enumerate(numbers):
                if number < moment:
                    self._waiting[i] = next(self._streams[i], None)

    @property
    def n_damaged(self) -> int:
        return sum(reader.n_damaged for reader in self._readers)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def _cameras_of(items: Sequence[DemoInput], settings: Multiview) -> list[NamedCamera]:
    """One for each video."""
    path = settings.calibration
    cameras = {c.name: c for c in _read(path, settings.calibration_unit)}
    known = ", ".join(cameras)
    wanted = list(settings.camera_names)
    if wanted and len(wanted) != len(items):
        raise UserError(f"--camera-names names {len(wanted)} cameras for {len(items)} videos; give one for each video.")
    if not wanted:
        wanted = [item.name if item.name in cameras else item.stem for item in items]
        if not set(wanted) & set(cameras):
            if len(cameras) != len(items):
                raise UserError(
                    f"{path} has {len(cameras)} cameras ({known}) and {len(items)} videos are given, none of which is "
                    "called like a camera: say which camera took which video with --camera-names."
                )
            wanted = list(cameras)
    missing = [name for name in wanted if name not in cameras]
    if missing:
        raise UserError(f"{path} has no camera '{missing[0]}'; it has {known}: see --camera-names.")
    if len(set(wanted)) < len(wanted):
        raise UserError(f"Two videos are of the same camera, {', '.join(wanted)}; each must have one of its own.")
    chosen = [cameras[name] for name in wanted]
    places = np.stack([c.camera.optical_center_mm for c in chosen])
    distances = np.linalg.norm(places[:, np.newaxis] - places, axis=-1) + 1e9 * np.eye(len(places))
    if distances.min() < 1.0:
        raise UserError(f"Two cameras of {path} stand at the same place: it must say where each is (R and t).")
    up = _upwards([c.camera for c in chosen])
    return [dataclasses.replace(c, camera=dataclasses.replace(c.camera, world_up=up)) for c in chosen]


def _read(path: str, unit: str) -> list[NamedCamera]:
    if unit:
        return read_cameras(path, unit=unit)
    cameras = read_cameras(path, unit="m")
    far = max(np.linalg.norm(c.camera.optical_center_mm) for c in cameras) > FAR_MM
    return read_cameras(path, unit="mm") if far else cameras


def _upwards(cameras: Sequence[CameraParams]) -> np.ndarray:
    """The world's upward direction: the file's, unless the cameras stand otherwise (many files have the axes of a
    camera); then the axis nearest to the mean of theirs."""
    stated = np.asarray(cameras[0].world_up, np.float64) / np.linalg.norm(cameras[0].world_up)
    mean = np.mean([c.R.T @ (0.0, -1.0, 0.0) for c in cameras], axis=0)
    mean /= max(np.linalg.norm(mean), 1e-9)
    if mean @ stated > UPRIGHT:
        return stated
    axis = np.eye(3)[np.argmax(np.abs(mean))] * np.sign(mean[np.argmax(np.abs(mean))])
    return axis if mean @ axis > UPRIGHT else mean


def _offsets(items: Sequence[DemoInput], readers, sync: Sequence[int]) -> list[int]:
    """The number of the frame of each video that shows the same moment."""
    for item, reader in zip(items, readers, strict=True):
        rates = (readers[0].fps, reader.fps)
        if all(rates) and abs(rates[1] / rates[0] - 1) > SAME_RATE:
            raise UserError(
                f"{items[0].name} has {rates[0]:.5g} frames a second and {item.name} has {rates[1]:.5g}; videos of "
                "several cameras must have the same frame rate."
            )
    if sync:
        if len(sync) != len(items) or min(sync) < 0:
            raise UserError(f"--sync needs a frame number for each of the {len(items)} videos, 0 or greater.")
        for item, reader, first in zip(items, readers, sync, strict=True):
            if reader.n_frames and first >= reader.n_frames:
                raise UserError(f"--sync says frame {first} of {item.name}, which has {reader.n_frames} frames.")
        return list(sync)
    for item, reader in zip(items, readers, strict=True):
        n, n_first = reader.n_frames, readers[0].n_frames
        if n and n_first and abs(n - n_first) > 1:
            raise UserError(
                f"{items[0].name} has {n_first} frames and {item.name} has {n}: videos of several cameras must begin "
                "and end together; say with --sync which frame of each shows the same moment."
            )
    return [0] * len(items)


def _view(item: DemoInput, camera: NamedCamera, frame: Frame | None) -> View:
    if frame is None:
        raise UserError(f"{item.name} has no frame that can be decoded.")
    size_wh = (frame.image.shape[1], frame.image.shape[0])
    K = intrinsics_at_size(camera, size_wh, item.name)
    demo_inputs.check_view(K, size_wh, item.name, f"the camera '{camera.name}'")
    return View(item, dataclasses.replace(camera.camera, K=K), camera.name, size_wh)
