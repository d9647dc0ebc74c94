"""`python -m data_processing from-coco`: a 2D pose store from an annotation file in COCO's keypoint format."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Makes a 2D pose store of COCO keypoint JSON, as annotation tools write it, with any keypoints."""

    annotations: Path
    """The JSON file."""
    images: Path
    """Folder that the pictures' file names are below."""
    out: Path
    """The pose store to make."""
    category: str = ""
    """Whose keypoints; empty: the only category that has some, or person."""
    name: str = ""
    """Of the store; empty: that of --out."""
    licence: str = "not stated"
    """Of the data."""
    mirror: tuple[str, ...] = ()
    """Pairs A=B of joints that are mirror images although their names do not say so; A=A: a joint in the middle."""
    valid_fraction: float = setting(0.1, at_least=0, below=1)
    """Share of the pictures for validation."""
    allow_suspicious_data: bool = False
    """Make the store although its labels cannot be right by what the checks say."""


def run(settings: Settings) -> None:
    from data_processing.own_coco import read_coco
    from data_processing.own_store import own_skeleton, write_own_store

    found = read_coco(settings.annotations, settings.images, settings.category)
    skeleton = own_skeleton(
        settings.name or settings.out.name, found.joint_names, kind="2d", edges=found.edges, mirror=settings.mirror
    )
    if found.left_out:
        print("Left out: " + ", ".join(f"{n} {reason}" for reason, n in found.left_out.items()) + ".")
    write_own_store(
        settings.out,
        found.rows,
        skeleton,
        kind="2d",
        licence=settings.licence,
        source=settings.annotations.name,
        valid_fraction=settings.valid_fraction,
        allow_suspicious=settings.allow_suspicious_data,
        n_rows=len(found.rows),
    )
