"""`python -m data_processing segment`: person masks of pictures, as PNG files for --segmenter masks:FOLDER."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Segments people in every picture below a folder; masks that exist are left alone."""

    root: Path
    """Folder of pictures (.jpg, .png), e.g. the images of a pose store."""
    out: Path
    """Folder of the masks, with the same paths below it."""
    segmenter: str
    """onnx:FILE or savedmodel:FOLDER."""


def run(settings: Settings) -> None:
    import os

    import cv2

    from data_processing.images import read_image
    from data_processing.progress import Progress
    from data_processing.segmentation import open_segmenter

    segment = open_segmenter(settings.segmenter)
    paths = sorted(p for p in settings.root.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    bar = Progress("pictures", len(paths))
    for path in paths:
        key = path.relative_to(settings.root)
        target = (settings.out / key).with_suffix(".png")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            mask = segment(read_image(path), key.as_posix())
            partial = target.with_name(target.stem + ".partial.png")
            cv2.imwrite(str(partial), mask.astype("uint8") * 255)
            os.replace(partial, target)
        bar.step()
