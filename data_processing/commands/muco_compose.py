"""`python -m data_processing muco-compose`: the composites of MuCo-3DHP from the videos of MPI-INF-3DHP."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Composes MuCo-3DHP as a raw folder for the converter `muco`. Started again, it goes on where it stopped."""

    raw: Path
    """Folder of MPI-INF-3DHP with the videos of pictures, masks (FGmasks) and chairs (ChairMasks)."""
    out: Path
    """Folder to make, --raw of the converter `muco`."""
    composites: int = setting(200_000, at_least=1)
    """How many; the paper uses 200,000."""
    composition: str = ""
    """The authors' list sampled_dataset_info.mat (or a composites.npz); empty: a list of one's own by --seed."""
    seed: int = setting(0, at_least=0)
    """Of the list and of the pictures' gammas."""
    workers: int | None = setting(None, at_least=0)
    """Processes; none: one per processor core; 0: no other process."""


def run(settings: Settings) -> None:
    import functools
    import shutil

    from data_processing import muco_composition as muco
    from data_processing.datasets.muco import read_origins
    from data_processing.work_pool import in_processes
    from metrabs_acae.errors import UserError
    from metrabs_acae.progress import Progress

    root, out = settings.raw, settings.out
    if settings.composition:
        origins = read_origins(Path(settings.composition))[: settings.composites]
    else:
        origins = muco.choose_origins(root, settings.composites, settings.seed)
    _remember(out, origins)
    composites = muco.composites_of(origins, muco.depths_of(root, origins))
    pending = [c for c in composites if not muco.composite_path(out, c.number).exists()]
    wanted = {person for c in pending for person in c.people}
    videos = [v for v in muco.videos_of(origins) if any((*_place(v), f) in wanted for f in v.frames)]
    bar = Progress("videos", len(videos))
    for _, missing in in_processes(functools.partial(muco.extract_or_say, root, out), videos, settings.workers):
        bar.step(note=missing)
    _copy_labels(root, out, origins)
    bar, n_lacking = Progress("composites", len(composites), start=len(composites) - len(pending)), 0
    for _, made in in_processes(functools.partial(muco.compose, out, settings.seed), pending, settings.workers):
        n_lacking += not made
        bar.step()
    if n_lacking > len(composites) / 2:
        raise UserError(
            f"{n_lacking} of {len(composites)} composites lack a frame or a mask. Fetch the missing videos of "
            f"MPI-INF-3DHP (masks and chairs are separate archives) into {root} and start the same command again."
        )
    shutil.rmtree(out / "frames", ignore_errors=True)
    print(f"{out}: {len(composites) - n_lacking:,} composites ({n_lacking:,} lack a frame or a mask)")
    print(f"Now: python -m data_processing muco --raw {out} --out STORE")


def _place(video) -> tuple[int, int, int]:
    return video.subject, video.sequence, video.camera


def _remember(out: Path, origins) -> None:
    """Writes the list, or checks that it is the one of the composites that are there."""
    import numpy as np

    from data_processing.plain_files import read_arrays, write_arrays
    from metrabs_acae.errors import UserError

    path = out / "composites.npz"
    if path.exists():
        if not np.array_equal(read_arrays(path, ["origins"])["origins"], origins):
            raise UserError(f"{out} holds composites by another list, seed or number; remove it or choose another one.")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_arrays(path, {"origins": origins})


def _copy_labels(root: Path, out: Path, origins) -> None:
    """What the converter needs beside the pictures, and that masks are numbered from 0."""
    import shutil

    import numpy as np

    for subject, sequence in np.unique(origins[..., :2].reshape(-1, 2), axis=0).tolist():
        for name in ("annot.mat", "camera.calibration"):
            target = out / f"3dhp/S{subject}/Seq{sequence}/{name}"
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / f"S{subject}/Seq{sequence}/{name}", target)
    (out / "3dhp/numbered_from_0").touch()
