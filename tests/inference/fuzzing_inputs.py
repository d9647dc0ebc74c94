"""Random files for --demo: photographs, videos, boxes and cameras with damaged headers, cut off, renamed.

Each ends in results or in a sentence that names the file, and never costs the results of the files beside it.
"""

from __future__ import annotations

import collections
import json
from pathlib import Path

import numpy as np
from PIL import Image

from metrabs_acae.data.camera_files import read_cameras
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo, demo_inputs
from metrabs_acae.inference.demo_settings import Demo
from tests.data import test_camera_files

SIZE_WH = (64, 48)
PHOTOGRAPHS = ("jpg", "png", "webp", "tif", "bmp", "gif", "avif", "heic")
MOVING = ("mp4", "mkv", "ts", "avi", "gif", "webp", "png")
BOXES = {"a.jpg": [[1, 2, 30, 40]], "walk": [[], [[1, 2, 3, 4], [5, 6, 7, 8]]]}


def originals(folder: Path) -> dict[str, list[Path]]:
    """Undamaged files by kind: "picture", "camera", "boxes"."""
    folder.mkdir()
    ramp = np.arange(3 * SIZE_WH[0] * SIZE_WH[1]).reshape(SIZE_WH[1], SIZE_WH[0], 3)
    image = Image.fromarray((ramp // 40).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 30
    pictures = []
    for suffix in PHOTOGRAPHS:
        if suffix == "heic":
            try:
                import pillow_heif
            except ImportError:
                continue
            pillow_heif.register_heif_opener()
        pictures.append(folder / f"still.{suffix}")
        image.save(pictures[-1], **({"exif": exif} if suffix in ("jpg", "png", "webp", "tif") else {}))
    Image.fromarray((ramp[..., 0] * 3).astype(np.uint16)).save(folder / "deep.png")
    frames = [Image.fromarray(np.roll(np.asarray(image), 8 * i, axis=1)) for i in range(4)]
    for suffix in MOVING:
        path = folder / f"moving.{suffix}"
        if suffix in ("gif", "webp", "png"):
            frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
        else:
            _write_video(path, [np.asarray(f) for f in frames])
        pictures.append(path)
    (folder / "cameras").mkdir()
    for name, (write, _, _) in test_camera_files.FILES.items():
        write(folder / "cameras" / name)
    (folder / "boxes.json").write_text(json.dumps(BOXES))
    cameras = sorted((folder / "cameras").iterdir())
    return {"picture": [*pictures, folder / "deep.png"], "camera": cameras, "boxes": [folder / "boxes.json"]}


def _write_video(path: Path, frames) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


def damage(rng, data: bytes, other: bytes) -> bytes:
    """The bytes of a file after one or two accidents."""
    for _ in range(rng.integers(1, 3)):
        n, kind = len(data), rng.integers(7)
        if not n:
            break
        start = int(rng.integers(n))
        if kind == 0:
            data = data[:start]
        elif kind == 1:
            data = data[start:]
        elif kind in (2, 3):  # bits of the header, or anywhere
            changed = bytearray(data)
            for i in rng.integers(min(n, 200) if kind == 2 else n, size=rng.integers(1, 9)):
                changed[i] = rng.choice([0, 255, int(rng.integers(256)), int(rng.integers(48, 58))])
            data = bytes(changed)
        elif kind == 4:
            data = data[:start] + other[int(rng.integers(len(other))) :]
        elif kind == 5:
            data = data[:start] + bytes(int(rng.integers(1, 500))) + data[start:]
        else:
            data = rng.integers(256, size=n, dtype=np.uint8).tobytes()
    return data


def check_folder(model, folder: Path, files: list[Path], rng, n_files: int) -> collections.Counter:
    """Poses damaged files beside a good photograph and a good video; counts what became of the damaged ones."""
    folder.mkdir()
    (folder / "good.jpg").write_bytes(files[0].read_bytes())
    (folder / "good.mkv").write_bytes(next(f for f in files if f.suffix == ".mkv").read_bytes())
    names = []
    for i in range(n_files):
        path, other, renamed = (files[int(rng.integers(len(files)))] for _ in range(3))
        suffix = (renamed if rng.random() < 0.3 else path).suffix
        data = path.read_bytes()
        data = data if suffix != path.suffix and rng.random() < 0.5 else damage(rng, data, other.read_bytes())
        names.append(f"f{i:02d}{suffix}")
        (folder / names[-1]).write_bytes(data)
    # Boxes are given: nothing else than the files decides how many people there are.
    settings = Demo(boxes="5,5,30,40", outputs=("json", "npz", "overlay"), max_frames=20)
    failed = ""
    try:
        demo.run_demo(
            "model", [folder], out_dir=folder / "out", settings=settings, log=lambda line: None, load=lambda _: model
        )
    except UserError as error:
        failed = str(error)
    outcomes: collections.Counter = collections.Counter()
    for name in ["good.jpg", "good.mkv", *names]:
        done = any(_is_result_of(path, name) for path in (folder / "out").glob(f"{Path(name).stem}*.json"))
        assert done != (name in failed), f"{name}: {'both' if done else 'neither'} done and failed; {failed}"
        assert done or name in names, f"{name} was lost: {failed}"
        outcomes["done" if done else "refused"] += name in names
    assert not list((folder / "out").glob(".*")), "temporary files are left"
    return outcomes


def _is_result_of(path: Path, name: str) -> bool:
    contents = json.loads(path.read_text())
    assert all(np.isfinite(p["pose3d"]).all() for f in contents["frames"] for p in f["people"])
    times = [f["time_s"] for f in contents["frames"]]
    assert times == sorted(times) and contents["frames"]
    np.load(path.with_suffix(".npz"))
    return contents["source"] == name


def check_text(kind: str, path: Path, files: list[Path], rng) -> str:
    """Reads a damaged file of boxes or cameras, written to `path` without its suffix."""
    original, other = (files[int(rng.integers(len(files)))] for _ in range(2))
    path = path.with_name(path.name + "".join(original.suffixes))
    path.write_bytes(damage(rng, original.read_bytes(), other.read_bytes()))
    try:
        if kind == "camera":
            assert read_cameras(path, unit="m")
        else:
            item = demo_inputs.DemoInput("video", "walk.mp4", "walk")
            boxes = demo_inputs.boxes_for(demo_inputs.parse_boxes(str(path)), item)
            assert np.isfinite(boxes(1)).all()
    except UserError:
        return "refused"
    return "done"
