"""BVH: a skeleton at rest and the rotations of its joints at equal steps of time; metres, y up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.files import replacing
from metrabs_acae.motion.angles import euler_angles, euler_order
from metrabs_acae.motion.fit import Motion, even_times

ONE_FRAME_S = 1 / 30
_LEAF_LENGTH = 0.2
"""Of the bone before it: the length that is drawn of a joint without children."""


def write_bvh(path: str | Path, motion: Motion) -> None:
    """Steps are those of the motion if they are equal; else its rotations are interpolated, see `even_times`."""
    times_s, motion = even_times(motion)
    tree, offsets, lines, channels = motion.tree, motion.offsets_mm / 1000, ["HIERARCHY"], [motion.root_mm / 1000]
    local = motion.local_rotations

    def add(joint: int, depth: int) -> None:
        indent, children = "\t" * depth, tree.children(joint)
        order = euler_order(tree, motion.offsets_mm, joint)
        axes = " ".join(f"{axis}rotation" for axis in order)
        places = "Xposition Yposition Zposition " if depth == 0 else ""
        lines.extend(
            (
                f"{indent}{'JOINT' if depth else 'ROOT'} {tree.short_names[joint]}",
                f"{indent}{{",
                f"{indent}\tOFFSET {_numbers(offsets[joint])}",
                f"{indent}\tCHANNELS {6 if places else 3} {places}{axes}",
            )
        )
        channels.append(euler_angles(local[:, joint], order))
        for child in children:
            add(child, depth + 1)
        if not children:
            end = offsets[joint] * _LEAF_LENGTH if np.any(offsets[joint]) else np.array([0, 0.05, 0])
            lines.extend(
                (f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET {_numbers(end)}", f"{indent}\t}}")
            )
        lines.append(f"{indent}}}")

    add(tree.root, 0)
    step = (times_s[-1] - times_s[0]) / (len(times_s) - 1) if len(times_s) > 1 else ONE_FRAME_S
    lines += ["MOTION", f"Frames: {len(times_s)}", f"Frame Time: {step:.9f}"]
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, np.concatenate(channels, axis=1), fmt="%.6f")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in np.round(values, 6) + 0.0)
