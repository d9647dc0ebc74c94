"""Which poses a dataset shows, and the repertoires that the synthetic datasets use."""

from __future__ import annotations

from dataclasses import dataclass

UPRIGHT_CLIPS = ("walk", "dance_a", "dance_b", "punch", "run", "spin", "jump", "kick")
ACROBATIC_CLIPS = ("spinkick", "cartwheel", "backflip", "crawl", "getup_facedown", "getup_faceup", "roll")
PROCEDURAL = ("stand", "step", "sit", "squat", "kneel", "bend", "floor", "recline")


@dataclass(frozen=True)
class Motions:
    """A repertoire.

    Attributes:
        lower: (source, weight) of pelvis and legs; a source is a clip's name or one of `PROCEDURAL`.
        own_arms: probability that the upper body comes from the same frame (clips only).
        free_arms: probability that the arms point anywhere within reach, else they come from some clip.
        jitter: factor on the random joint rotations.
    """

    lower: tuple[tuple[str, float], ...]
    own_arms: float = 0.4
    free_arms: float = 0.5
    jitter: float = 1.0


def _repertoire(clips: float = 0, acrobatics: float = 0, **weights: float) -> tuple[tuple[str, float], ...]:
    """Weights of sources: `clips` and `acrobatics` are shared out evenly, others given by name."""
    shared = {name: clips / len(UPRIGHT_CLIPS) for name in UPRIGHT_CLIPS}
    shared |= {name: acrobatics / len(ACROBATIC_CLIPS) for name in ACROBATIC_CLIPS}
    for name, weight in weights.items():
        shared[name] = shared.get(name, 0) + weight
    return tuple((name, weight) for name, weight in shared.items() if weight)


DAILY = Motions(_repertoire(clips=2, walk=3, stand=5, step=3, sit=3.5, squat=0.5, bend=0.8, kneel=0.3))
EXERCISE = Motions(_repertoire(clips=5, stand=2.5, step=2, sit=1.5, squat=1.2, kneel=0.5, bend=0.8))
OUTDOOR = Motions(_repertoire(clips=4, walk=4, run=2.5, step=2, stand=2, sit=0.6, bend=0.4))
DANCE = Motions(_repertoire(clips=1, dance_a=4, dance_b=4, spin=1.5, step=1, squat=0.3, stand=0.5), own_arms=0.5)
EVERYTHING = Motions(
    _repertoire(
        clips=4,
        walk=1.5,
        acrobatics=0.9,
        stand=3,
        step=2,
        sit=2,
        squat=0.8,
        kneel=0.7,
        bend=0.9,
        floor=1.4,
        recline=0.4,
    )
)
STUDIO_SPORT = Motions(_repertoire(clips=5, acrobatics=1.2, stand=2, step=1, squat=1, sit=0.7, kneel=0.5, bend=0.8))
ALL = Motions(_repertoire(clips=4, acrobatics=0.6, stand=3, step=2, sit=1.7, squat=0.6, kneel=0.5, bend=0.7))
