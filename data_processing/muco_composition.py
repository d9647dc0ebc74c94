"""MuCo-3DHP from MPI-INF-3DHP: composites of four people each, put together as its authors do, without MATLAB.

The composition list names for every composite four frames of one camera (subject, sequence, camera, frame, all but the
subject's and sequence's numbers from 0). As published, frames are those in which some joint of `univ_annot3` has moved
by 175 mm since the frame taken before, beginning with the 180th, shifted by up to 25 frames for each sequence and
camera; cameras are the eleven that do not hang from the ceiling. The four are drawn at random among the sequences.

A composite is the picture of the farthest person (by the pelvis of `univ_annot3`), on which, from back to front, each
other one's chair and then the person are laid, with the red channels of the chroma-key masks as opacity (the person's
blurred by 2 px); each picture has a gamma between 0.7 and 0.8. Frames and masks are taken from the videos by their own
numbers, from 0, as the labels count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_processing import images
from data_processing.datasets.mpi_inf_3dhp import N_FRAMES, SHORT_VIDEO, read_labels
from data_processing.plain_files import write_whole
from data_processing.sampling import MotionSampler
from data_processing.video import read_frames
from metrabs_acae.errors import UserError

CAMERAS = tuple(range(11))
N_PEOPLE, PELVIS = 4, 4
THRESHOLD_MM, FIRST_FRAME, MAX_SHIFT = 175, 179, 25
SIZE_PX = 2048
BLUR_PX = 2
KINDS = ("imageSequence", "FGmasks", "ChairMasks")
PICTURE_FOLDER = "unaugmented_set_001"


def sequences_of(root: Path) -> list[tuple[int, int]]:
    """(subject, sequence) of the recordings below a folder of MPI-INF-3DHP; UserError if there are none."""
    found = [(int(p.parts[-3][1:]), int(p.parts[-2][3:])) for p in root.glob("S*/Seq*/annot.mat")]
    if not found:
        raise UserError(f"There is no S*/Seq*/annot.mat in {root}; is it the folder of MPI-INF-3DHP?")
    return sorted(found)


def choose_origins(root: Path, n: int, seed: int) -> np.ndarray:
    """[n, 4, 4] a composition list of one's own: subject, sequence, camera, frame of every person."""
    pools: dict[int, list[np.ndarray]] = {}
    for subject, sequence in sequences_of(root):
        path = root / f"S{subject}/Seq{sequence}/annot.mat"
        universal, pixels = read_labels(path, "univ_annot3", 3), read_labels(path, "annot2", 2)
        n_frames = min(len(universal[0]), N_FRAMES.get((subject, sequence), len(universal[0])))
        sampler = MotionSampler(THRESHOLD_MM)
        moved = np.array([i for i in range(min(FIRST_FRAME, n_frames - 1), n_frames) if sampler.keep(universal[0][i])])
        for camera in (c for c in CAMERAS if c < len(pixels)):
            shift = np.random.default_rng([seed, subject, sequence, camera]).integers(-MAX_SHIFT, MAX_SHIFT + 1)
            last = min(n_frames, SHORT_VIDEO.get((subject, sequence, camera), n_frames)) - 1
            frames = np.clip(moved + shift, 0, last)
            inside = ((pixels[camera][frames] > 0) & (pixels[camera][frames] < SIZE_PX)).all(-1).any(-1)
            frames = frames[inside]
            if len(frames):
                where = np.tile([subject, sequence, camera], (len(frames), 1))
                pools.setdefault(camera, []).append(np.concatenate([where, frames[:, None]], axis=1))
    if not pools:
        raise UserError(f"Nobody moves within the pictures of {root}.")
    rng = np.random.default_rng(seed)
    origins = []
    for number, (_, people) in enumerate(sorted(pools.items())):
        share = n // len(pools) + (number < n % len(pools))
        which = rng.integers(len(people), size=(share, N_PEOPLE))
        origins.append(np.array([[people[k][rng.integers(len(people[k]))] for k in row] for row in which]))
    origins = np.concatenate([o.reshape(-1, N_PEOPLE, 4) for o in origins])
    return origins[rng.permutation(len(origins))].astype(np.int64)


def depths_of(root: Path, origins: np.ndarray) -> np.ndarray:
    """[n, 4] mm by which a composition orders its people; NaN where the labels lack a frame."""
    depths = np.full(origins.shape[:2], np.nan)
    for subject, sequence in np.unique(origins[..., :2].reshape(-1, 2), axis=0).tolist():
        labels = read_labels(root / f"S{subject}/Seq{sequence}/annot.mat", "univ_annot3", 3)
        for index in np.argwhere((origins[..., :2] == [subject, sequence]).all(-1)):
            camera, frame = origins[tuple(index)][2:]
            if camera < len(labels) and frame < len(labels[camera]):
                depths[tuple(index)] = labels[camera][frame, PELVIS, 2]
    return depths


@dataclass(frozen=True)
class Video:
    """The frames that are needed of one camera of a recording."""

    subject: int
    sequence: int
    camera: int
    frames: tuple[int, ...]


def videos_of(origins: np.ndarray) -> list[Video]:
    needed: dict[tuple[int, int, int], set[int]] = {}
    for subject, sequence, camera, frame in origins.reshape(-1, 4).tolist():
        needed.setdefault((subject, sequence, camera), set()).add(frame)
    return [Video(*key, tuple(sorted(frames))) for key, frames in sorted(needed.items())]


def frame_path(out: Path, kind: str, subject: int, sequence: int, camera: int, frame: int) -> Path:
    """Where a picture or a mask of a frame lies; as the converter `muco` looks for masks."""
    folder = f"S{subject}/Seq{sequence}/{kind}"
    return out / ("frames" if kind == "imageSequence" else "3dhp") / folder / f"img_{camera}_{frame:06d}.jpg"


def extract(root: Path, out: Path, video: Video) -> str:
    """Takes the needed frames and masks out of the videos; those that are there stay. Returns what is missing."""
    where = (video.subject, video.sequence, video.camera)
    missing = ""
    for kind in KINDS:
        source = root / f"S{video.subject}/Seq{video.sequence}" / kind / f"video_{video.camera}.avi"
        needed = [f for f in video.frames if not frame_path(out, kind, *where, f).exists()]
        if not source.is_file():
            missing = f"{source} is missing"
            continue
        for frame, image in read_frames(source, needed):
            if kind != "imageSequence":
                image = np.repeat(image[..., :1], 3, axis=2)
            path = frame_path(out, kind, *where, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, images.encode_jpeg(image))
    return missing


def extract_or_say(root: Path, out: Path, video: Video) -> str:
    try:
        return extract(root, out, video)
    except UserError as error:
        return str(error)


@dataclass(frozen=True)
class Composite:
    """One picture to make: its number from 1, its people and their depths."""

    number: int
    people: tuple[tuple[int, int, int, int], ...]
    depths: tuple[float, ...]


def composite_path(out: Path, number: int) -> Path:
    name = f"{number:06d}.jpg"
    return out / PICTURE_FOLDER / name[:2] / name[:4] / name


def compose(out: Path, seed: int, composite: Composite) -> bool:
    """Makes one composite; False where a frame or a mask of it is not there."""
    path = composite_path(out, composite.number)
    if path.exists():
        return True
    if not np.isfinite(composite.depths).all():
        return False
    gammas = 0.7 + np.random.default_rng([seed, composite.number]).random(N_PEOPLE) / 10
    canvas = None
    try:
        for i in np.argsort(-np.asarray(composite.depths), kind="stable"):
            layers = {kind: images.read_image(frame_path(out, kind, *composite.people[i])) for kind in KINDS}
            canvas = lay_over(canvas, layers, float(gammas[i]))
    except UserError:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, images.encode_jpeg(np.round(canvas).clip(0, 255).astype(np.uint8)))
    return True


def lay_over(canvas: np.ndarray | None, layers: Mapping[str, np.ndarray], gamma: float) -> np.ndarray:
    """The canvas [H, W, 3] float32 with one person more in front; the first one's picture is the canvas itself."""
    import cv2

    curve = (255 * (np.arange(256) / 255) ** gamma).astype(np.float32)
    picture = curve[layers["imageSequence"]]
    if canvas is None:
        return picture
    free = layers["ChairMasks"][..., :1].astype(np.float32) / 255
    person = cv2.GaussianBlur(layers["FGmasks"][..., 0], (0, 0), BLUR_PX)[..., None].astype(np.float32) / 255
    canvas = canvas * free + picture * (1 - free)
    return picture * person + canvas * (1 - person)


def composites_of(origins: np.ndarray, depths: np.ndarray) -> list[Composite]:
    pairs = zip(origins.tolist(), depths.tolist(), strict=True)
    return [Composite(n, tuple(tuple(p) for p in people), tuple(d)) for n, (people, d) in enumerate(pairs, start=1)]
