"""Animated pictures (GIF, PNG, WebP, AVIF): their frames at their times, as a video's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metrabs_acae.data.images import MAX_PIXELS
from metrabs_acae.errors import UserError
from metrabs_acae.inference.video import Frame

SUFFIXES = frozenset({".gif", ".png", ".apng", ".webp", ".avif"})
SHORTEST_S, REPLACED_BY_S = 0.011, 0.1
"""Browsers show frames of at most 10 ms for a tenth of a second."""


def is_animated(path: str | Path) -> bool:
    """Whether a picture file has more than one frame to show one after another."""
    if Path(path).suffix.lower() not in SUFFIXES:
        return False
    picture = _open(path)
    if picture is None:
        return False
    with picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(getattr(picture, "is_animated", False))
        except Exception:  # decoders of damaged files fail in many ways
            return False


class AnimatedPicture:
    """Iterates over the frames of an animated picture; attributes as of `VideoFile`."""

    fps = None

    def __init__(self, path: str | Path):
        self.name, self.n_damaged = Path(path).name, 0
        self._picture = _open(path)
        if self._picture is None:
            raise UserError(f"{path} cannot be read as an image; it may be damaged.")
        if self._picture.width * self._picture.height > MAX_PIXELS:
            raise UserError(f"{path} claims to be of more than {MAX_PIXELS:,} pixels; it is not read.")
        # A PNG may have a picture in front for viewers that know no animations.
        self._first = int(bool(self._picture.info.get("default_image")))
        try:
            self.n_frames = self._picture.n_frames - self._first
        except Exception:  # decoders of damaged files fail in many ways
            self._picture.close()
            raise UserError(f"{path} is damaged.") from None

    def __iter__(self) -> Iterator[Frame]:
        time_s = 0.0
        for index in range(self.n_frames):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    self._picture.seek(self._first + index)
                    image = np.array(self._picture.convert("RGB"))
                except Exception:  # as above
                    self.n_damaged += 1
                    return
            yield Frame(index, time_s, image)
            shown_s = float(self._picture.info.get("duration") or 0) / 1000
            time_s += shown_s if shown_s >= SHORTEST_S else REPLACED_BY_S

    def close(self) -> None:
        self._picture.close()


def _open(path):
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Image.open(path)
        except Exception:
            return None
