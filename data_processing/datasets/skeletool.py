"""The camera files of MPI-INF-3DHP ("Skeletool Camera Calibration File V1.0")."""

from __future__ import annotations

import numpy as np

from data_processing.cameras import from_extrinsics, nearest_axis
from data_processing.file_cache import file_cache
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError


@file_cache(8)
def read_cameras(path) -> list[CameraParams]:
    """The cameras in order; mm. The world's up is the axis nearest to the cameras' mean up direction."""
    blocks: list[dict[str, list[str]]] = []
    try:
        with open(path) as file:
            for line in file:
                words = line.split()
                if words and words[0] == "name":
                    blocks.append({})
                elif words and blocks:
                    blocks[-1][words[0]] = words[1:]
        matrices = [
            tuple(np.array(b[name], np.float64).reshape(4, 4) for name in ("intrinsic", "extrinsic")) for b in blocks
        ]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a camera calibration of MPI-INF-3DHP ({error!r}); fetch it again.") from None
    if not matrices:
        raise UserError(f"{path} holds no camera; fetch it again.")
    up = nearest_axis(-sum(extrinsic[1, :3] for _, extrinsic in matrices))
    return [from_extrinsics(E[:3, :3], E[:3, 3], K[:3, :3], world_up=up) for K, E in matrices]
