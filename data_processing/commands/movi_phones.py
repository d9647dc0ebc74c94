"""`python -m data_processing movi-phones`: calibrates BML-MoVi's phones from a pose estimator's predictions."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import settings


@settings
class Settings:
    """Writes Calib/phones.json, with which `bml_movi` converts the phones' videos too; goes on where it was."""

    raw: Path
    """Raw folder of BML-MoVi."""
    predictions: Path
    """Folder of <video name>.npz with poses3d [F, 20, 3] and poses2d [F, 20, 2] of MoVi's 20 joints, frame by frame."""


def run(settings: Settings) -> None:
    from data_processing.datasets.bml_movi import VIDEO, find_markers, read_markers, read_phones
    from data_processing.datasets.bml_movi_phones import calibrate, load_predictions
    from data_processing.plain_files import write_json
    from data_processing.video import video_info
    from metrabs_acae.errors import UserError
    from metrabs_acae.progress import Progress

    target = settings.raw / "Calib" / "phones.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    phones = dict(read_phones(target))
    videos = sorted(p for p in settings.raw.rglob("*.mp4") if VIDEO.fullmatch(p.name))
    if not videos:
        raise UserError(f"There is no phone video (F_CP1_Subject_1.mp4 ...) in {settings.raw}.")
    bar = Progress("phone videos", len(videos))
    for video in videos:
        match = VIDEO.fullmatch(video.name)
        name, note = f"{match['round']}_{match['camera']}_{match['subject']}", ""
        predictions = settings.predictions / f"{video.stem}.npz"
        if name not in phones:
            try:
                markers_path = find_markers(settings.raw, match["round"], int(match["subject"]))
                markers = read_markers(markers_path, match["round"], int(match["subject"]))
                poses = load_predictions(predictions)
                phones[name] = calibrate(markers, *poses, video_info(video).fps, moving=match["camera"] == "CP2")
                write_json(target, phones)
            except UserError as error:
                note = f"{video.name} is left out: {error}"
        bar.step(note=note)
    print(f"{target}: {len(phones)} of {len(videos)} videos")
