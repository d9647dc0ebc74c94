"""Predictions of any number of images, written piece by piece, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.files import PartialFile


class PredictionWriter:
    """Collects predicted people, batch of images by batch of images, in a `PartialFile`; closing makes the file.

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
        self.joint_names, self._settings = tuple(joint_names), json.loads(json.dumps(settings))
        n = len(self.joint_names)
        columns = {"poses3d_mm": ("<f4", (n, 3)), "poses2d_px": ("<f4", (n, 2)), "frame": ("<i8", ())}
        columns |= {"person": ("<i8", ()), "score": ("<f4", ()), "sequence": ("<i4", ())}
        made_with = {"joint_names": self.joint_names, "settings": self._settings}
        state = {"images_done": 0, "bad_images": [], "sequences": []}
        self._partial = PartialFile(path, made_with, columns, state, what="predictions")
        self._sequence_numbers = {name: i for i, name in enumerate(self._partial.state["sequences"])}

    @property
    def images_done(self) -> int:
        return self._partial.state["images_done"]

    @property
    def bad_images(self) -> list[str]:
        """Keys of the images that could not be read."""
        return self._partial.state["bad_images"]

    def append(self, people: Mapping[str, np.ndarray], *, images: int, bad_images: Sequence[str] = ()) -> None:
        """Adds the people of the next `images` images: poses3d_mm [P, J, 3], poses2d_px [P, J, 2], frame, person, score
        and sequence (text) [P]."""
        numbers = self._sequence_numbers
        sequence = [numbers.setdefault(str(name), len(numbers)) for name in people["sequence"]]
        state = {"images_done": self.images_done + images, "bad_images": [*self.bad_images, *bad_images]}
        self._partial.append({**people, "sequence": sequence}, {**state, "sequences": list(numbers)})

    def close(self, metadata: Mapping) -> Predictions:
        """Writes the finished file and removes the partial one. Scores that are all missing are left out."""
        names = ("poses3d_mm", "poses2d_px", "frame", "person", "score")
        columns = {name: np.array(self._partial.column(name)) for name in names}
        if np.isnan(columns["score"]).all():
            del columns["score"]
        sequences = np.array([*self._sequence_numbers, ""], str)[self._partial.column("sequence")]
        details = {"unit": "mm", **self._settings, **metadata, "bad_images": self.bad_images}
        predictions = Predictions(joint_names=self.joint_names, sequence=sequences, metadata=details, **columns)
        save_predictions(self.path, predictions)
        self._partial.discard()
        return predictions
