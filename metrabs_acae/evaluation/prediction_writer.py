"""Predictions of any number of images, written piece by piece, so that an interrupted run goes on where it stopped.

While it grows, the file is a folder `<path>.partial` with one piece per batch of images and an index of what they were
made with. Closing it writes the prediction file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.files import replacing

COLUMNS = {"poses3d_mm": "f4", "poses2d_px": "f4", "frame": "i8", "person": "i8", "score": "f4"}
"""Columns of a piece beside `sequence`, and their types."""


class PredictionWriter:
    """Collects predicted people, batch of images by batch of images.

    Args:
        path: .npz file to make.
        joint_names: J names.
        settings: plain types that decide the result; a partial file of other settings is refused.

    Attributes:
        images_done: how many images have been handled; the next piece goes on from there.
    """

    def __init__(self, path: str | Path, joint_names: Sequence[str], settings: Mapping):
        self.path = Path(path)
        if self.path.suffix != ".npz":
            raise UserError(f"Prediction files end in .npz; got {self.path}.")
        self.joint_names = tuple(joint_names)
        self._folder = self.path.with_name(self.path.name + ".partial")
        self._index = self._folder / "index.json"
        made_with = json.loads(json.dumps({"joint_names": self.joint_names, "settings": settings}))
        self._state = {**made_with, "images_done": 0, "bad_images": []}
        if self._index.exists():
            state = json.loads(self._index.read_text())
            if {k: state[k] for k in made_with} != made_with:
                raise UserError(
                    f"{self._folder} holds unfinished predictions of other settings; finish them or delete that folder."
                )
            self._state = state
        else:
            self._folder.mkdir(parents=True, exist_ok=True)

    @property
    def images_done(self) -> int:
        return self._state["images_done"]

    @property
    def bad_images(self) -> list[str]:
        """Keys of the images that could not be read."""
        return self._state["bad_images"]

    def append(self, people: Mapping[str, np.ndarray], *, images: int, bad_images: Sequence[str] = ()) -> None:
        """Adds the people of the next `images` images: `COLUMNS` and `sequence` (text), P rows each."""
        with replacing(self._folder / f"{self.images_done:09d}.npz") as temporary, open(temporary, "wb") as file:
            columns = {k: np.asarray(people[k], dtype) for k, dtype in COLUMNS.items()}
            np.savez(file, sequence=np.asarray(people["sequence"], str), **columns)
        self._state["images_done"] += images
        self._state["bad_images"] += list(bad_images)
        with replacing(self._index) as temporary:
            temporary.write_text(json.dumps(self._state))

    def close(self, metadata: Mapping) -> Predictions:
        """Writes the finished file and removes the partial one. Scores that are all missing are left out."""
        pieces = []
        for path in sorted(self._folder.glob("[0-9]*.npz")):
            with np.load(path, allow_pickle=False) as arrays:
                pieces.append({k: arrays[k] for k in arrays.files})
        joined = (
            {k: np.concatenate([p[k] for p in pieces]) for k in (*COLUMNS, "sequence")} if pieces else self._empty()
        )
        if np.isnan(joined["score"]).all():
            del joined["score"]
        details = {"unit": "mm", **self._state["settings"], **metadata, "bad_images": self.bad_images}
        predictions = Predictions(joint_names=self.joint_names, metadata=details, **joined)
        save_predictions(self.path, predictions)
        shutil.rmtree(self._folder)
        return predictions

    def _empty(self) -> dict[str, np.ndarray]:
        n = len(self.joint_names)
        shapes = {"poses3d_mm": (0, n, 3), "poses2d_px": (0, n, 2)}
        return {k: np.zeros(shapes.get(k, 0), t) for k, t in COLUMNS.items()} | {"sequence": np.zeros(0, str)}
