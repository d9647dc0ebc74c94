"""What joint names say: the side, the body part, and whose convention it is.

This project's own names begin with the side and end with the convention: ``rhip_h36m``. Names as other people have them
are understood too: ``left_hip``, ``hip_left``, ``LeftHip``, ``L_Hip``, ``hip.L``, ``LHip``, ``HipL``, ``Left Hip``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from metrabs_acae.errors import UserError

_OTHER = {"l": "r", "r": "l", "L": "R", "R": "L", "left": "right", "right": "left"}
_WORDS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z])(?i:left|right)(?![a-z])",  # left_hip, hip_left, LEFT HIP, leftHip, mixamorig:LeftArm
        r"(?<=[a-z])(?:Left|Right)(?![a-z])",  # HipLeft, HandTipLeft
        r"^(?:left|right)(?=[a-z])",  # lefthip
        r"(?:^|(?<=[_\-. :]))[lrLR](?=$|[_\-. :])",  # l_hip, hip_l, hip.L
        r"(?<=[a-z])[LR]$",  # HipL
    )
)
_INITIAL = re.compile(r"^(?:[lr]|[LR](?=[A-Z]))")  # lhip, rank_h36m, LHip, LHIP
_CENTRAL = re.compile(r"^(?:root|rib|lumb|low|reference|length|rump)", re.IGNORECASE)
"""Words for what has no side although they begin with l or r."""


def read_names(values, what: str = "joint_names") -> tuple[str, ...]:
    """Joint names as people have them: a list, an array of texts, bytes or objects, a column of a table.

    Blanks around a name are dropped, and what is left of bytes once taken for text (``b'lhip'``).

    Raises:
        UserError: one text instead of several, something else than texts, or an empty name.
    """
    names = tuple(_AS_BYTES.sub(r"\2", text.strip()) for text in read_texts(values, what))
    if not all(names):
        raise UserError(f"{what}: name {names.index('')} is empty; give every joint one.")
    return names


def read_texts(values, what: str) -> list[str]:
    """A list of texts from anything that holds some; a mark of the byte order before the first is dropped.

    Raises:
        UserError: see `read_names`; bytes that are not UTF-8.
    """
    if isinstance(values, str | bytes):
        raise UserError(f"{what} is one text, {values[:40]!r}; a list of texts is expected.")
    try:
        items = list(values)
        items = [item.decode() if isinstance(item, bytes) else item for item in items]
    except UnicodeDecodeError:
        raise UserError(f"{what} holds bytes that are not UTF-8 text.") from None
    except TypeError:
        raise UserError(f"{what} is {type(values).__name__}, expected a list of texts.") from None
    for item in items:
        if not isinstance(item, str):
            raise UserError(f"{what} holds {item!r:.40}, a {type(item).__name__}; expected {len(items)} texts.")
    return [str(item).removeprefix("\ufeff") for item in items]


def side(name: str) -> str:
    """``"l"``, ``"r"`` or ``"c"`` (central) for a joint name."""
    found = _found(name)
    return found[0].lower()[0] if found else "c"


def mirror_name(name: str) -> str:
    """The name of the same joint on the body's other side; the name itself where it is central."""
    found = _found(name)
    if not found:
        return name
    word = found[0]
    other = _OTHER.get(word) or _in_case_of(word, _OTHER[word.lower()])
    return name[: found.start()] + other + name[found.end() :]


def without_partner(names: Sequence[str]) -> tuple[str, ...]:
    """Those names that read as left or right although their mirror image is not among the names."""
    have = set(names)
    return tuple(n for n in names if mirror_name(n) != n and mirror_name(n) not in have)


def base_and_convention(name: str) -> tuple[str, str]:
    """``("rhip", "h36m")`` for ``rhip_h36m``; a side that is a word of its own is of the base: ``left_hip_x``."""
    words = name.split("_")
    sided = [i for i, word in enumerate(words) if word.lower() in ("l", "r", "left", "right")]
    n_base = max(1, 2 if sided and sided[-1] == 0 else sided[-1] + 1 if sided else 1)
    return "_".join(words[:n_base]), "_".join(words[n_base:])


def code(name: str) -> str:
    """The body part as this project abbreviates it, with its side: ``lhip`` for ``LeftHip_x``; else the base name."""
    base, _ = base_and_convention(name)
    found = _found(base)
    part = (base[: found.start()] + base[found.end() :] if found else base).lower()
    part = re.sub(r"[^a-z0-9]", "", part)
    short = _CODES.get(part, part if found else "")
    return (side(base) if found else "") + short if short else base


_CODES = {
    "hip": "hip",
    "upleg": "hip",
    "knee": "kne",
    "ankle": "ank",
    "shoulder": "sho",
    "elbow": "elb",
    "wrist": "wri",
    "hand": "han",
    "heel": "hee",
    "foot": "foo",
    "toe": "toe",
    "bigtoe": "toe",
    "toebase": "toe",
    "eye": "eye",
    "ear": "ear",
    "pelvis": "pelv",
    "hips": "pelv",
    "midhip": "pelv",
    "root": "pelv",
    "spine": "spin",
    "thorax": "thor",
    "neck": "neck",
    "head": "head",
    "headtop": "htop",
    "nose": "nose",
}


_AS_BYTES = re.compile(r"""^b(['"])(.*)\1$""")


def _found(name: str) -> re.Match | None:
    """Where the name says its side."""
    word = next((found for pattern in _WORDS if (found := pattern.search(name))), None)
    return word or (None if _CENTRAL.match(name) else _INITIAL.match(name))


def _in_case_of(word: str, other: str) -> str:
    return other.upper() if word.isupper() else other.capitalize()
