"""The pose that files of motion call rest: a T, facing +z, y up, x to the person's left."""

from __future__ import annotations

import numpy as np

from metrabs_acae.joint_names import code, side

_DIRECTIONS = (
    (("hip",), (1, -0.3, 0)),
    (("kne", "ank"), (0, -1, 0)),
    (("foo", "toe", "to2", "to3"), (0, -0.4, 1)),
    (("hee",), (0, -1, -0.7)),
    (("cla", "sho", "elb", "wri", "han", "fin", "middle", "index", "pinkie"), (1, 0, 0)),
    (("thu",), (1, 0, 0.7)),
    (("spi", "bell", "thor", "tors", "chest", "lumb", "neck", "head", "htop"), (0, 1, 0)),
    (("nose",), (0, 0, 1)),
    (("jaw",), (0, -0.5, 1)),
    (("eye",), (0.4, 0.3, 1)),
    (("ear",), (1, 0.2, 0)),
)
"""How the names of joints begin, without their side, and where the left or central joint lies from its parent."""


def rest_direction(joint_name: str) -> np.ndarray | None:
    """Unit vector [3] from its parent to a joint in the T pose; None for an unknown name."""
    name, its_side = code(joint_name), side(joint_name)
    part = name[1:] if its_side != "c" else name
    for beginnings, direction in _DIRECTIONS:
        if part.startswith(beginnings):
            mirrored = np.array(direction) * ((-1 if its_side == "r" else 1), 1, 1)
            return mirrored / np.linalg.norm(mirrored)
    return None
