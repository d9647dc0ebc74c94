"""`python -m data_processing from-csv`: a pose store from a table of keypoints, pictures and, in 3D, cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from metrabs_acae.errors import UserError
from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Makes a pose store of a table with a line per person and picture, as spreadsheets and scripts write them."""

    table: Path
    """CSV with a column `image` and the joints' columns, e.g. nose_x, nose_y (2D, pixels) or with nose_z too (3D)."""
    images: Path
    """Folder that the pictures' names in the table are below."""
    out: Path
    """The pose store to make."""
    cameras: Path | None = None
    """Cameras, for 3D: JSON {name: camera} with K, R and position_mm or t, or a 3 x 4 matrix P; or a file of OpenCV,
    Qualisys, Pose2Sim or Anipose."""
    units: Literal["mm", "cm", "m", "in"] = "mm"
    """Of 3D coordinates, and of t and P."""
    frame: Literal["world", "camera"] = "world"
    """What 3D coordinates are relative to; camera: x right, y down, z forward."""
    name: str = ""
    """Of the store; empty: that of --out."""
    licence: str = "not stated"
    """Of the data."""
    convention: str = ""
    """Ending of the 3D joints' names, which tells them from like-named ones that lie elsewhere on the body. Empty: the
    store's name, unless the names end with one."""
    edges: str = ""
    """Lines between joints, for pictures: paths like neck-pelvis-left_hip,nose-neck, each with its mirror image."""
    mirror: tuple[str, ...] = ()
    """Pairs A=B of joints that are mirror images although their names do not say so; A=A: a joint in the middle."""
    valid_fraction: float = setting(0.1, at_least=0, below=1)
    """Share of the recordings (or pictures) for validation, if the table has no column `split`."""
    allow_suspicious_data: bool = False
    """Make the store although its labels cannot be right by what the checks say."""


def run(settings: Settings) -> None:
    from data_processing.own_store import own_skeleton, write_own_store
    from data_processing.own_tables import read_table
    from metrabs_acae.data.camera_files import read_cameras

    table = read_table(settings.table)
    kind = f"{table.n_dims}d"
    cameras = {}
    if kind == "3d":
        if settings.cameras is None:
            raise UserError(f"{settings.table} has 3D joints, so --cameras FILE.json is needed.")
        cameras = {c.name: c for c in read_cameras(settings.cameras, unit=settings.units)}
    skeleton = own_skeleton(
        settings.name or settings.out.name,
        table.joint_names,
        kind=kind,
        convention=settings.convention,
        edges=settings.edges,
        mirror=settings.mirror,
    )
    write_own_store(
        settings.out,
        (_row(table, i, cameras, settings) for i in range(len(table))),
        skeleton,
        kind=kind,
        licence=settings.licence,
        source=f"{settings.table.name}, {settings.units}" if kind == "3d" else settings.table.name,
        valid_fraction=settings.valid_fraction,
        allow_suspicious=settings.allow_suspicious_data,
        n_rows=len(table),
    )


def _row(table, i: int, cameras: dict, settings: Settings):
    import numpy as np

    from data_processing.own_store import OwnRow
    from metrabs_acae.data.camera_files import MM_PER_UNIT

    coords, camera, size_wh = table.coords(i), None, None
    if table.n_dims == 3:
        found = _camera(table, i, cameras)
        camera, size_wh = found.camera, found.image_size_wh
        coords = coords * MM_PER_UNIT[settings.units]
        if settings.frame == "camera":
            coords = coords @ np.asarray(camera.R) + camera.optical_center_mm
    image = table.text(i, "image").replace("\\", "/")
    sides = ("left", "top", "width", "height")
    return OwnRow(
        table.where(i),
        settings.images / image,
        image,
        coords,
        camera,
        np.array([table.number(i, side) for side in sides]) if all(map(table.has, sides)) else None,
        sequence=table.text(i, "sequence"),
        activity=table.text(i, "activity"),
        frame=table.number(i, "frame") if table.has("frame") else 0,
        person=table.text(i, "person"),
        split=table.text(i, "split").lower(),
        picture_size_wh=size_wh,
    )


def _camera(table, i: int, cameras: dict):
    if len(cameras) == 1 and not table.has("camera"):
        return next(iter(cameras.values()))
    name = table.text(i, "camera")
    if name not in cameras:
        raise UserError(f"{table.where(i)}: there is no camera '{name}'; there are {', '.join(cameras)}.")
    return cameras[name]
