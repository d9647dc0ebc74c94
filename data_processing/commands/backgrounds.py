"""`python -m data_processing backgrounds`: of a folder of photographs, those without people, as square backgrounds."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Makes square backgrounds of the photographs in which nobody is detected. Those that exist are left alone."""

    root: Path
    """Folder of photographs (.jpg, .png), e.g. INRIA Holidays."""
    out: Path
    """Folder of the backgrounds."""
    detector: str = "movenet"
    """Finds people: movenet, ssdlite, json:FILE, onnx:FILE or savedmodel:FOLDER."""
    side: int = setting(512, at_least=64)
    """Side of the backgrounds in pixels."""
    least_score: float = setting(0.3, at_least=0, at_most=1)
    """A photograph with a person of this score is left out."""


def run(settings: Settings) -> None:
    from data_processing import images
    from data_processing.commands.detect import PICTURES, find_files
    from data_processing.detection import check_detector, open_detector
    from data_processing.plain_files import write_whole
    from metrabs_acae.errors import UserError
    from metrabs_acae.progress import Progress

    check_detector(settings.detector)
    if settings.detector == "none":
        raise UserError("Which photographs have people in them? Say --detector.")
    paths = find_files(settings.root, PICTURES)
    detect = open_detector(settings.detector)
    bar, failed, peopled = Progress("photographs", len(paths)), [], 0
    for path in paths:
        key, note = path.relative_to(settings.root), ""
        target = (settings.out / key).with_suffix(".jpg")
        if not target.exists():
            try:
                image = images.read_upright(path)
                found = detect(image, key.as_posix())
                if len(found) and found[:, 4].max() >= settings.least_score:
                    peopled += 1
                else:
                    write_whole(target, images.encode_jpeg(square(image, settings.side)))
            except UserError as error:
                failed.append(note := str(error))
        bar.step(note=note)
    made = len(find_files(settings.out, (".jpg",))) if settings.out.is_dir() else 0
    if not made:
        raise UserError(f"Every one of the {len(paths)} photographs in {settings.root} shows people or is broken.")
    print(f"{settings.out}: {made} backgrounds; {peopled} photographs with people, {len(failed)} broken ones left out")


def square(image, side: int):
    """The middle of a picture [H, W, 3] as [side, side, 3]; each pixel the mean of those that it covers."""
    import cv2

    height, width = image.shape[:2]
    half = min(height, width)
    top, left = (height - half) // 2, (width - half) // 2
    middle = image[top : top + half, left : left + half]
    return cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA if half > side else cv2.INTER_LINEAR)
