"""`python -m data_processing detect`: person boxes of pictures and videos, as a JSON file for --detector json:FILE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Detects people in every picture and video below a folder."""

    root: Path
    """Folder of pictures (.jpg, .png) and videos (.mp4, .avi, .mkv)."""
    out: Path
    """JSON file: key (path below the root; for videos path/frame number) -> boxes."""
    detector: str = "ssdlite"
    """ssdlite, onnx:FILE or savedmodel:FOLDER."""
    every: int = 1
    """Of videos only every so manieth frame."""


PICTURES, VIDEOS = (".jpg", ".jpeg", ".png"), (".mp4", ".avi", ".mkv")


def run(settings: Settings) -> None:
    import json
    import os

    from data_processing.detection import open_detector
    from data_processing.images import read_image
    from data_processing.progress import Progress
    from data_processing.video import read_frames

    detect = open_detector(settings.detector)
    paths = sorted(p for p in settings.root.rglob("*") if p.suffix.lower() in PICTURES + VIDEOS)
    partial = settings.out.with_name(settings.out.name + ".partial")
    boxes = json.loads(partial.read_text()) if partial.exists() else {}
    done = set(boxes.get("", []))
    bar = Progress("files", len(paths))
    for path in paths:
        key = path.relative_to(settings.root).as_posix()
        if key not in done:
            if path.suffix.lower() in PICTURES:
                boxes[key] = detect(read_image(path), key).round(2).tolist()
            else:
                for index, frame in read_frames(path):
                    if index % settings.every == 0:
                        boxes[f"{key}/{index:06d}"] = detect(frame, key).round(2).tolist()
            done.add(key)
            if len(done) % 100 == 0:
                _write(partial, {**boxes, "": sorted(done)})
        bar.step()
    boxes.pop("", None)
    _write(partial, boxes)
    os.replace(partial, settings.out)


def _write(path: Path, data: dict) -> None:
    import json
    import os

    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(data))
    os.replace(temporary, path)
