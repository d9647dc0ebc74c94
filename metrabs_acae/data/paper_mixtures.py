"""The three mixtures of "Learning 3D Human Pose Estimation from Dozens of Datasets" (WACV 2023), found in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metrabs_acae.data.shares import in_proportion
from metrabs_acae.errors import UserError

COUNTS_3D: dict[str, dict[str, int]] = {
    "full": {
        **{"h36m": 4, "muco": 6, "humbi": 5, "3doh": 3, "agora": 3, "surreal": 5, "panoptic": 7, "aist": 6},
        **{"aspset": 4, "gpa": 4, "3dpeople": 4, "sailvos": 5, "bml_movi": 5, "mads": 2, "umpm": 2, "bmhad": 3},
        **{"3dhp": 3, "totalcapture": 3, "jta": 3, "ikea": 2, "human4d": 1, "behave": 3, "rich": 4, "spec": 2},
        **{"fit3d": 2, "chi3d": 1, "humansc3d": 1, "hspace": 3},
    },
    "medium": {
        **{"h36m": 9, "muco": 9, "humbi": 7, "agora": 5, "surreal": 8, "panoptic": 9, "aist": 9, "3dpeople": 6},
        **{"sailvos": 7, "3dhp": 5, "totalcapture": 5, "jta": 5, "rich": 7, "hspace": 5},
    },
    "small": {"h36m": 32, "muco": 32, "surreal": 32},
}
"""Examples per batch in the paper's three settings, 96 in each, by store name, in batch order."""

COUNTS_2D: dict[int, dict[str, int]] = {
    1: {"mpii": 8, "coco": 8, "jrdb": 8, "posetrack": 8},
    3: {"mpii": 8, "coco": 9, "jrdb": 8, "posetrack": 8},
    6: {"mpii": 8, "coco": 8, "jrdb": 7, "posetrack": 7},
}
"""Examples per batch of the 2D stores by `Dealing.n_pieces`: 32, or the nearest that divides evenly."""

BENCHMARKS = ("h36m-test", "3dhp-test", "mupots", "3dpw", "emdb")
"""Stores that are evaluated after training, those of them that are there."""


@dataclass(frozen=True)
class PaperStores:
    """Stores of a mixture as the flags name them: PATH:EXAMPLES_PER_BATCH, and paths of benchmarks."""

    dataset3d: tuple[str, ...]
    dataset2d: tuple[str, ...]
    test_on: tuple[str, ...]


def find_stores(
    size: str,
    folder,
    *,
    n_parts: int = 1,
    allow_missing: bool = False,
    has_converter: Callable[[str], bool] = lambda name: True,
) -> PaperStores:
    """The stores of the mixture "full" (28 + 4), "medium" (14 + 4) or "small" (3 + 4) below a folder, by their names.

    Args:
        n_parts: how many equal pieces the batch is cut into (`Dealing.n_pieces`).
        allow_missing: do without those that are missing; the others take their places in the batch, in proportion.
        has_converter: whether a command makes the store of a dataset, to be named where it is missing.

    Raises:
        UserError: stores are missing; it lists them with the commands that make them.
    """
    folder = Path(folder)
    wanted_3d, wanted_2d = COUNTS_3D[size], COUNTS_2D.get(n_parts, COUNTS_2D[1])
    missing = [name for name in (*wanted_3d, *wanted_2d) if not _is_there(folder / name)]
    if missing and not allow_missing:
        n_wanted = len(wanted_3d) + len(wanted_2d)
        raise UserError(*_missing_lines(size, folder, missing, n_wanted, has_converter))
    counts_3d, counts_2d = (
        in_proportion({name: count for name, count in wanted.items() if name not in missing}, sum(wanted.values()))
        for wanted in (wanted_3d, wanted_2d)
    )
    if not counts_3d:
        raise UserError(f"None of the paper's 3D pose stores is in {folder}. {_HELP}")
    named = [tuple(f"{folder / name}:{n}" for name, n in counts.items()) for counts in (counts_3d, counts_2d)]
    return PaperStores(*named, _benchmarks(folder, counts_3d))


def _is_there(path: Path) -> bool:
    return (path / "store.json").is_file()


def _benchmarks(folder: Path, names_3d) -> tuple[str, ...]:
    """The benchmarks that are there and whose joints the mixture has."""
    from metrabs_acae.data.store import PoseStore

    joints = {joint for name in names_3d for joint in PoseStore(folder / name).skeleton.joint_names}
    paths = [folder / name for name in BENCHMARKS if _is_there(folder / name)]
    return tuple(str(p) for p in paths if joints.issuperset(PoseStore(p).skeleton.joint_names))


_HELP = (
    "RAW is the folder of a dataset's raw files; docs/datasets.md and `python -m data_processing list --name NAME` say "
    "how to get them."
)


def _missing_lines(size: str, folder: Path, missing: list[str], n_wanted: int, has_converter) -> list[str]:
    lines = [f"The mixture paper-{size} has {n_wanted} pose stores. Missing in {folder} ({len(missing)}):"]
    for name in missing:
        command = f"python -m data_processing {name} --raw RAW --out {folder / name}"
        lines.append(f"  {name:12}  {command if has_converter(name) else 'see docs/datasets.md'}")
    lines.append(_HELP)
    lines.append("With --allow-missing-stores the training goes on without them, --data-dir names another folder.")
    return lines
