"""`python -m data_processing movi-predict`: what a pose estimator sees in BML-MoVi's phone videos."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Writes the predictions from which `movi-phones` calibrates the phones; videos that are done are left alone."""

    raw: Path
    """Raw folder of BML-MoVi."""
    model: Path
    """Exported SavedModel of a pose estimator whose joints include MoVi's 20."""
    out: Path
    """Folder of <video name>.npz with poses3d [F, 20, 3] mm and poses2d [F, 20, 2] px, NaN where nobody is found."""
    detector: str = "none"
    """Finds the actor: json:FILE, movenet, ssdlite, onnx:FILE or savedmodel:FOLDER; none: the model's own detector."""
    skeleton: str = ""
    """Skeleton of the model to take MoVi's joints from; empty: all its joints."""
    batch: int = setting(8, at_least=1)
    """Frames at a time."""


def run(settings: Settings) -> None:
    from data_processing.datasets.bml_movi import VIDEO
    from data_processing.datasets.bml_movi_predictions import VideoPredictor
    from data_processing.plain_files import write_arrays
    from metrabs_acae.errors import UserError
    from metrabs_acae.progress import Progress

    videos = sorted(
        p for p in settings.raw.rglob("*.mp4") if (m := VIDEO.fullmatch(p.name)) and m["camera"].startswith("CP")
    )
    if not videos:
        raise UserError(f"There is no phone video (F_CP1_Subject_1.mp4 ...) in {settings.raw}.")
    predictor = VideoPredictor(
        settings.model, detector=settings.detector, skeleton=settings.skeleton, batch=settings.batch
    )
    bar, failed = Progress("phone videos", len(videos)), []
    for video in videos:
        target, note = settings.out / f"{video.stem}.npz", ""
        if not target.exists():
            try:
                key = video.relative_to(settings.raw).as_posix()
                poses3d, poses2d = predictor(video, key)
                write_arrays(target, {"poses3d": poses3d, "poses2d": poses2d})
            except UserError as error:
                failed.append(note := f"{video.name} is left out: {error}")
        bar.step(note=note)
    if failed:
        raise UserError(f"{len(failed)} of {len(videos)} videos failed; {failed[0]}")
    print(f"{settings.out}: predictions of {len(videos)} videos")
