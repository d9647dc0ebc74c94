"""A tiny dataset with its converter, to test the frame with; its units can be told to fail or to die."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_processing.converter import Converter, Unit
from data_processing.registry import DATASETS
from data_processing.rows import Row
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

INFO = replace(DATASETS["aspset"], name="toy", layout="unit*.txt", bone_check=False)
CAMERA = CameraParams(np.eye(3), np.zeros(3), np.array([[500.0, 0, 32], [0, 500, 24], [0, 0, 1]]), None, (0, -1, 0))


class Toy(Converter):
    """Every file `unit*.txt` is a unit of two examples; its text may be `broken` or `die` (once)."""

    def units(self):
        return [Unit(p.stem, (p.name,)) for p in self.find("unit*.txt")]

    def convert(self, unit, output):
        path = self.raw / unit.args[0]
        text = path.read_text()
        with open(self.raw / "log", "a") as log:
            log.write(unit.name + "\n")
        number = int(unit.name[4:])
        for frame in range(2):
            key = f"{unit.name}/{frame}.jpg"
            output.write_image(key, np.full((48, 64, 3), 10 * number + frame, np.uint8))
            coords = np.random.default_rng(number).normal(size=(17, 3)) * 100 + [0, 0, 4000 + frame]
            output.add(Row("train", key, np.array([4, 2, 56, 44.0]), CAMERA, coords, frame=frame, sequence=unit.name))
            if text == "die" and frame == 0:
                path.write_text("")
                os._exit(9)
        output.skip("example of a reason")
        if text == "broken":
            raise UserError(f"{path} is broken; fetch it again.")
        if text == "bug":
            raise KeyError("surprise")


def make_raw(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for i, text in enumerate(texts):
        (folder / f"unit{i}.txt").write_text(text)
    return folder


def contents(store) -> dict:
    """Everything in a store, to compare two of them."""
    files = {p.relative_to(store.path).as_posix(): p.read_bytes() for p in sorted(store.path.rglob("*")) if p.is_file()}
    return {k: v for k, v in files.items() if k != "annotations.h5"} | {
        name: [getattr(store.row("train", i), name) for i in range(store.splits["train"])]
        for name in ("image_key", "frame", "sequence")
    }
