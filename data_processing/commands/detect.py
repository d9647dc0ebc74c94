"""`python -m data_processing detect`: person boxes of pictures and videos, as a JSON file for --detector json:FILE."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Detects people in every picture and video below a folder; started again, it goes on where it stopped."""

    root: Path
    """Folder of pictures (.jpg, .png) and videos (.mp4, .avi, .mkv)."""
    out: Path
    """JSON file: key (path below the root; for videos path/frame number) -> boxes."""
    detector: str = "movenet"
    """movenet, ssdlite, onnx:FILE or savedmodel:FOLDER."""
    every: int = setting(1, at_least=1)
    """Of videos only every so manieth frame."""
    skip_broken: bool = False
    """Write the file without the pictures and videos that cannot be read."""


PICTURES, VIDEOS = (".jpg", ".jpeg", ".png"), (".mp4", ".avi", ".mkv")
SAVE_EVERY_S = 60


def run(settings: Settings) -> None:
    import time

    from data_processing.detection import check_detector, open_detector
    from data_processing.plain_files import check_suffix, write_json
    from metrabs_acae.errors import UserError
    from metrabs_acae.progress import Progress

    check_suffix(settings.out, (".json",))
    check_detector(settings.detector)
    paths = find_files(settings.root, PICTURES + VIDEOS)
    partial = settings.out.with_name(settings.out.name + ".unfinished")
    how = [settings.detector, settings.every, str(settings.root.resolve())]
    boxes, done = _read_unfinished(partial, how)
    detect = open_detector(settings.detector)
    bar, failed, saved = Progress("files", len(paths), start=len(done)), {}, time.monotonic()

    def save() -> None:
        write_json(partial, {"how": how, "done": sorted(done), "boxes": boxes})

    try:
        for path in paths:
            key, note = path.relative_to(settings.root).as_posix(), ""
            if key in done:
                continue
            try:
                boxes.update(_detect_file(detect, path, key, settings.every))
                done.add(key)
            except UserError as error:
                failed[key] = note = str(error)
            if time.monotonic() - saved > SAVE_EVERY_S:
                save()
                saved = time.monotonic()
            bar.step(note=note)
    except KeyboardInterrupt:
        save()
        raise
    if failed and not settings.skip_broken:
        save()
        raise UserError(
            f"{len(failed)} of {len(paths)} files cannot be read: {next(iter(failed.values()))} The others are kept in "
            f"{partial}: mend the files and start the same command again, or add --skip-broken."
        )
    write_json(settings.out, boxes)
    partial.unlink(missing_ok=True)
    print(f"{settings.out}: {sum(map(len, boxes.values()))} people in {len(boxes)} pictures")


def find_files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files below a folder with these endings, sorted; UserError if there are none."""
    from metrabs_acae.errors import UserError

    if not root.is_dir():
        raise UserError(f"The folder {root} does not exist.")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in suffixes)
    if not paths:
        raise UserError(f"There is no file with the ending {', '.join(suffixes)} in {root}.")
    return paths


def _detect_file(detect, path: Path, key: str, every: int) -> dict[str, list]:
    from data_processing.images import read_image
    from data_processing.video import read_frames

    if path.suffix.lower() in PICTURES:
        return {key: detect(read_image(path), key).round(2).tolist()}
    return {
        f"{key}/{index:06d}": detect(frame, f"{key}/{index:06d}").round(2).tolist()
        for index, frame in read_frames(path)
        if index % every == 0
    }


def _read_unfinished(path: Path, how: list) -> tuple[dict, set]:
    """What an interrupted run with the same flags has found, and in which files; empty where there was none."""
    from metrabs_acae.errors import UserError
    from metrabs_acae.files import read_json

    if not path.exists():
        return {}, set()
    data = read_json(path, dict)
    if data.get("how") != how:
        raise UserError(f"{path} is of an unfinished run with other flags ({data.get('how')}); remove it or use those.")
    return data["boxes"], set(data["done"])
