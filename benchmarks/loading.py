"""How fast training examples are loaded, per CPU core and by stage.

    python -m benchmarks.loading [--crops 60] [--rounds 7] [--image-size 256] [--workers 1 2]

Stores are made in a temporary folder: 1000-px JPEGs, and images of the size that pose stores keep (a person of 384 px
with room for augmentation: 640 px), each once as this project encodes images (with restart markers, see `data.jpeg`)
and once as other programs do. Each is loaded with all augmentation on. The yardstick, measured in the same run, is one
full OpenCV decode of a 1000-px JPEG and one `warpPerspective` to the crop; the public reference needs 1 / 0.43 of it
per example (measured once, on 1000-px JPEGs), which gives the last columns. CPU time counts, not the clock, and ratios
carry over between machines better than milliseconds. Every call is timed in every round; of its times the smallest is
what an undisturbed machine needs, the median what this one needed.

The yardstick runs with this loader's settings of the memory allocator, which make it faster. As other programs run it,
OpenCV's decoding takes up to twice as long where fresh memory is costly; that is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from metrabs_acae.data import examples
from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.augmentation.augmenter import Augmenter
from metrabs_acae.data.augmentation.procedural import background
from metrabs_acae.data.loading import BatchLoader, keep_freed_memory
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.skeletons import get_skeleton

YARDSTICK_SHARE = 0.43
"""What decoding fully and warping once cost of the public reference's loading of one example."""

SIZES = {"1000-px JPEG": (1000, 600), "store size": (640, 384)}
"""Image side and height of the person (px)."""


def make_store(path: Path, side: int, person: int, n: int = 12, distortion=None) -> PoseStore:
    """Textured pictures of about 3 bits a pixel as JPEG of quality 95, as photographs have, and a standing person."""
    rng = np.random.default_rng(0)
    skeleton = get_skeleton("h36m")
    K = np.array([[1.2 * side, 0, side / 2], [0, 1.2 * side, side / 2], [0, 0, 1]])
    depth = 1.2 * side * 1800 / person
    camera = CameraParams(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), np.array([0, -depth, 900]), K, distortion)
    box = np.array([side / 2 - person / 4, side / 2 - person / 2, person / 2, person])
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (side // 2, side // 2), (person // 4, person // 2), 0, 0, 360, 1, -1)
    with PoseStoreWriter(path, name=path.name, skeleton=skeleton, licence="CC0") as writer:
        for i in range(n):
            image = background(side, i).astype(np.float32)
            image += cv2.GaussianBlur(rng.normal(0, 14, image.shape).astype(np.float32), (0, 0), 0.7)
            writer.add(
                "train",
                image_key=f"{i}.jpg",
                image=np.clip(image, 0, 255).astype(np.uint8),
                box_ltwh_px=box,
                camera=camera,
                coords=rng.uniform((-400, -200, 0), (400, 200, 1800), (skeleton.n_joints, 3)),
                mask=mask,
            )
    return PoseStore(path)


def cpu_ms(function: Callable[[int], object], n: int, rounds: int = 5) -> float:
    """CPU milliseconds per call, the median of several rounds over the same work."""
    function(0)
    measured = []
    for _ in range(rounds):
        start = time.process_time()
        for i in range(n):
            function(i)
        measured.append((time.process_time() - start) / n * 1e3)
    return float(np.median(measured))


def make_yardstick(store: PoseStore, image_size: int) -> Callable[[int], object]:
    files = [store.images.read(f"{i}.jpg") for i in range(store.splits["train"])]
    matrix = np.array([[0.6, 0.02, 10], [-0.02, 0.6, 5], [1e-5, 0, 1]]) * (1000 / image_size * 0.9, 1, 1)

    def load(i: int):
        image = cv2.imdecode(np.frombuffer(files[i % len(files)], np.uint8), cv2.IMREAD_COLOR)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(image, matrix, (image_size, image_size), flags=flags)

    return load


def reencoded(store: PoseStore, path: Path) -> PoseStore:
    """The same store with JPEG files as OpenCV writes them."""
    shutil.copytree(store.path, path)
    for file in (path / "images").glob("*.jpg"):
        cv2.imwrite(str(file), cv2.imread(str(file)), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return PoseStore(path)


def whole_times(stores: dict[str, PoseStore], image_size: int, n: int, rounds: int, yardstick: Callable) -> dict:
    """One example with everything on, in one thread: name -> [rounds, n] CPU-ms. The loads of all stores and the
    yardstick take turns, so that what else the machine does touches all alike."""
    augmenter = Augmenter(Augmentations().in_order(), image_size)

    def load(store: PoseStore, i: int):
        row = i % store.splits["train"]
        return examples.load_training_example(store, "train", row, image_size, (0, i), augmenter)

    functions = {"yardstick": yardstick, **{n: lambda i, s=store: load(s, i) for n, store in stores.items()}}
    times = {name: np.zeros((rounds, n)) for name in functions}
    for function in functions.values():
        for i in range(n):  # compiled loops, caches
            function(i)
    for r in range(rounds):
        for name, function in functions.items():
            for i in range(n):
                start = time.thread_time()
                function(i)
                times[name][r, i] = (time.thread_time() - start) * 1e3
    return times


def plain_yardstick(store: PoseStore, image_size: int, n: int = 40) -> float:
    """CPU-ms of the yardstick in a process of its own with the allocator as it comes."""
    command = [sys.executable, "-m", "benchmarks.loading", "--yardstick-of", str(store.path)]
    command += ["--image-size", str(image_size), "--crops", str(n)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def stages(store: PoseStore, image_size: int, n: int) -> dict[str, float]:
    """CPU milliseconds per example of each stage, with the augmentation's own probabilities."""
    augmenter = Augmenter(Augmentations().in_order(), image_size)
    size = store.splits["train"]
    rows = [store.row("train", i) for i in range(size)]
    draws = [augmenter.draw_camera(i, store) for i in range(n)]
    crops = [examples.make_crop(rows[i % size], image_size, draws[i]) for i in range(n)]
    looks = [augmenter.draw_picture(i, store) for i in range(n)]
    image = np.ascontiguousarray(background(image_size, 0))

    def only(name: str):
        chosen = [[(a, draw) for a, draw in look if a.name == name] for look in looks]
        return lambda i: augmenter.apply(image, chosen[i], rows[i % size], crops[i])

    return {
        "row": cpu_ms(lambda i: store.row("train", i % size), n),
        "draws, with their generators": cpu_ms(
            lambda i: (augmenter.draw_camera(i, store), augmenter.draw_picture(i, store)), n
        ),
        "crop camera": cpu_ms(lambda i: examples.make_crop(rows[i % size], image_size, draws[i]), n),
        "joints": cpu_ms(lambda i: examples.crop_coords(rows[i % size], store, crops[i]), n),
        "read, decode, warp": cpu_ms(
            lambda i: examples.read_crop(store, rows[i % size], crops[i], image_size, draws[i]), n
        ),
        "background": cpu_ms(only("Background"), n),
        "occlusion": cpu_ms(only("Occlusion"), n),
        "colour": cpu_ms(only("Color"), n),
    }


def loader_rate(store: PoseStore, image_size: int, n: int, workers: int) -> tuple[float, float]:
    """CPU milliseconds per crop and crops per second (clock) of the batch loader."""
    loader = BatchLoader(Mixture([Entry(store, "train", 32)], seed=0), image_size=image_size, workers=workers)
    batches = loader.batches()
    next(batches)
    clock, cpu = time.perf_counter(), time.process_time()
    n_batches = max(1, n // 32)
    for _ in range(n_batches):
        next(batches)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    batches.close()
    return cpu / (32 * n_batches) * 1e3, 32 * n_batches / clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=60, help="crops per measurement and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--yardstick-of", help="only measure the yardstick on this store, and print it")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.yardstick_of:
        print(cpu_ms(make_yardstick(PoseStore(args.yardstick_of), args.image_size), args.crops))
        return
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        stores = {name: make_store(folder / str(side), side, person) for name, (side, person) in SIZES.items()}
        all_stores = {
            **stores,
            "store size, lens distortion": make_store(
                folder / "lens", *SIZES["store size"], distortion=[-0.2, 0.05, 0, 0, 0]
            ),
            "1000-px JPEG of others": reencoded(stores["1000-px JPEG"], folder / "other1000"),
            "store size of others": reencoded(stores["store size"], folder / "other"),
        }
        yardstick = make_yardstick(stores["1000-px JPEG"], args.image_size)
        times = whole_times(all_stores, args.image_size, args.crops, args.rounds, yardstick)
        plain = plain_yardstick(all_stores["1000-px JPEG of others"], args.image_size)
        smallest = {name: t.min(axis=0).mean() for name, t in times.items()}
        median = {name: np.median(t, axis=0).mean() for name, t in times.items()}
        unit = smallest["yardstick"]
        print(f"yardstick (full decode of a 1000-px JPEG + warp): {unit:.2f} CPU-ms undisturbed, ", end="")
        print(f"{median['yardstick']:.2f} median; {plain:.2f} as other programs run it\n")
        print(f"{'':32}{'CPU-ms':>16}{'of yardstick':>16}{'times the reference':>30}")
        columns = ("least", "median") * 3 + ("with the plain yardstick",)
        print(f"{'':32}" + "".join(f"{c:>8}" for c in columns[:6]) + f"{columns[6]:>27}")
        for name in all_stores:
            ratios = smallest[name] / unit, median[name] / median["yardstick"], median[name] / plain
            least, mid, other = (1 / YARDSTICK_SHARE / ratio for ratio in ratios)
            print(
                f"{name:32}{smallest[name]:8.2f}{median[name]:8.2f}{ratios[0]:8.2f}{ratios[1]:8.2f}"
                f"{least:8.2f}{mid:8.2f}{other:27.2f}"
            )
        for name, store in stores.items():
            print(f"\n{name}, by stage (CPU-ms, share of the yardstick)")
            for stage, ms in stages(store, args.image_size, args.crops).items():
                print(f"  {stage:28}{ms:8.3f}{ms / unit:14.3f}")
        print("\nbatch loader, store size")
        for workers in args.workers:
            ms, rate = loader_rate(stores["store size"], args.image_size, args.crops, workers)
            print(f"  {workers} thread(s): {ms:.2f} CPU-ms a crop, {rate:.0f} crops/s by the clock")


if __name__ == "__main__":
    main()
