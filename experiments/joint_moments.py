"""`python -m experiments.joint_moments`: how the joints of all conventions vary together, which conversions rest on.

Makes people of the generator (`data_processing/synthetic`, all joints exact, no pictures), some minutes, and of them
the package's metrabs_acae/geometry/assets/joint_moments.npz; `python -m benchmarks.translation` tests it. Held-out
people and motions, of which the errors to expect come, are every fifth person of the body model, and the last fifth of
every motion clip.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.geometry.joint_moments import FILE, JointMoments
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments.joint_moments"
PEOPLE, HELD_OUT = 20_000, 5
"""Poses to fit to, and for how many of them one is held out."""


@settings
class Settings:
    """Makes the moments of joints."""

    people: int = setting(PEOPLE, at_least=20)
    """Poses to fit to; a fifth as many are held out."""
    out: Path = setting(FILE)
    """The file."""


def people(numbers: range, *, held_out: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """[N, J, 3] mm: all joints of the box's people with these numbers, and the joints' names."""
    from data_processing.synthetic import joints, scene
    from data_processing.synthetic.box import BOX

    spec = BOX["box-wild"]
    found = [scene.posed_person(np.random.default_rng([int(held_out), i]), spec, held_out)[-1] for i in numbers]
    return np.stack(found), joints.all_joints().skeleton.joint_names


def make(values: Settings) -> None:
    fitted, names = people(range(values.people), held_out=False)
    held_out, _ = people(range(values.people // HELD_OUT), held_out=True)
    JointMoments.of_poses(fitted, held_out, names).save(values.out)
    print(f"Wrote {values.out}: {len(fitted)} people fitted to, {len(held_out)} held out.")


def main(arguments: list[str] | None = None) -> int:
    return exit_code(
        lambda: make(parse(Settings, sys.argv[1:] if arguments is None else arguments, PROGRAM, description=__doc__))
    )


if __name__ == "__main__":
    sys.exit(main())
