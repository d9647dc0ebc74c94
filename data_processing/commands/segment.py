"""`python -m data_processing segment`: person masks of pictures, as PNG files for --segmenter masks:FOLDER."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import settings


@settings
class Settings:
    """Segments people in every picture below a folder; masks that exist are left alone."""

    root: Path
    """Folder of pictures (.jpg, .png), e.g. the images of a pose store."""
    out: Path
    """Folder of the masks, with the same paths below it."""
    segmenter: str
    """mediapipe, tflite:FILE, onnx:FILE or savedmodel:FOLDER."""


def run(settings: Settings) -> None:
    import cv2

    from data_processing.commands.detect import PICTURES, find_files
    from data_processing.images import read_image
    from data_processing.plain_files import write_whole
    from data_processing.segmentation import check_segmenter, open_segmenter
    from metrabs_acae.errors import UserError
    from metrabs_acae.progress import Progress

    if settings.segmenter == "none":
        raise UserError("'none' is not a model; use mediapipe, tflite:FILE, onnx:FILE or savedmodel:FOLDER.")
    check_segmenter(settings.segmenter)
    paths = find_files(settings.root, PICTURES)
    segment = open_segmenter(settings.segmenter)
    bar, failed = Progress("pictures", len(paths)), []
    for path in paths:
        key, note = path.relative_to(settings.root), ""
        target = (settings.out / key).with_suffix(".png")
        if not target.exists():
            try:
                mask = segment(read_image(path), key.as_posix())
                write_whole(target, cv2.imencode(".png", mask.astype("uint8") * 255)[1].tobytes())
            except UserError as error:
                failed.append(note := str(error))
        bar.step(note=note)
    if failed:
        raise UserError(f"{len(failed)} of {len(paths)} pictures have no mask: {failed[0]} The others are done.")
    print(f"{settings.out}: masks of {len(paths)} pictures")
