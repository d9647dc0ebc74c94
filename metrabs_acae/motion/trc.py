"""TRC: the places of markers over time as OpenSim reads them; millimetres, y up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.files import replacing
from metrabs_acae.motion.fit import Motion

ONE_FRAME_HZ = 30.0


def write_trc(path: str | Path, motion: Motion) -> None:
    """The joints as estimated, not those of the fitted skeleton, at the motion's own times; gaps are interpolated."""
    times, names = motion.times_s, motion.tree.short_names
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else ONE_FRAME_HZ
    head = {
        "DataRate": f"{rate:.2f}",
        "CameraRate": f"{rate:.2f}",
        "NumFrames": len(times),
        "NumMarkers": len(names),
        "Units": "mm",
        "OrigDataRate": f"{rate:.2f}",
        "OrigDataStartFrame": 1,
        "OrigNumFrames": len(times),
    }
    axes = [f"{axis}{i + 1}" for i in range(len(names)) for axis in "XYZ"]
    lines = (
        ("PathFileType", "4", "(X/Y/Z)", Path(path).name),
        head.keys(),
        map(str, head.values()),
        ("Frame#", "Time", *(cell for name in names for cell in (name, "", ""))),
        ("", "", *axes),
        (),
    )
    values = motion.free_mm.reshape(len(times), -1)
    numbers = np.column_stack([np.arange(1, len(times) + 1), times, values])
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines("\t".join(cells) + "\n" for cells in lines)
        np.savetxt(file, numbers, fmt=["%d", "%.6f"] + ["%.3f"] * values.shape[1], delimiter="\t")
