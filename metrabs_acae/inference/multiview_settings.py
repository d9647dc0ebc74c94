"""What can be set of a demo with several calibrated cameras."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Multiview:
    """Several videos of the same people at the same time, by calibrated cameras."""

    calibration: str = setting("")
    """File of calibrated cameras (JSON, TOML, OpenCV's or Qualisys's): the videos of --demo show the same people at the
    same time, and give one pose of each in the file's world."""
    calibration_unit: Literal["", "mm", "cm", "m", "in"] = setting("")
    """Unit of the places in the file of --calibration, where its format does not fix it; empty: metres, or mm if in
    metres a camera stood farther than 100 m from the origin."""
    camera_names: tuple[str, ...] = setting(())
    """Names of the cameras in the file of --calibration, in the order of the videos; none: the names of the videos'
    files or, of as many cameras as videos with other names, the file's order."""
    sync: tuple[int, ...] = setting(())
    """The number of the frame of each video that shows the same moment, counted from 0; none: all begin and end
    together."""
    min_views: int = setting(2, above=0)
    """A person counts from when so many cameras see them at once."""
    looks: int = setting(2, above=0)
    """How often everybody is posed: from the second time on in crops that are turned until the trunk, as all cameras
    together see it, is upright."""
