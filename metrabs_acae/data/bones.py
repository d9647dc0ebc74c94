"""How long the bones of the people in pose stores are: what the plausibility filter compares estimated poses with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json, replacing, write_npz
from metrabs_acae.skeletons import Skeleton, corresponding_joints, union

FORMAT = "metrabs_acae bone lengths"
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class BoneStatistics:
    """Mean, standard deviation (mm) and number of examples of each bone, [E] each; NaN where never labelled.

    Attributes:
        joint_pairs: the names of each bone's two joints.
        sources: for each store its name, split, number of examples and licence.
    """

    joint_pairs: tuple[tuple[str, str], ...]
    mean_mm: np.ndarray
    std_mm: np.ndarray
    count: np.ndarray
    sources: tuple[dict, ...] = ()

    def means_of(self, skeleton: Skeleton) -> np.ndarray:
        """[number of edges of `skeleton`] mean lengths in mm, NaN where unknown."""
        known = {frozenset(pair): mean for pair, mean in zip(self.joint_pairs, self.mean_mm, strict=True)}
        names = skeleton.joint_names
        return np.array([known.get(frozenset((names[a], names[b])), np.nan) for a, b in skeleton.edges], np.float32)

    def save(self, path) -> None:
        """Writes .json or .npz, by the name's ending."""
        path = Path(path)
        if path.suffix not in (".json", ".npz"):
            raise UserError(f"Bone lengths are written as .json or .npz; got {path}.")
        if path.suffix == ".npz":
            arrays = {"mean_mm": self.mean_mm, "std_mm": self.std_mm, "count": self.count}
            pairs = np.array(self.joint_pairs, str).reshape(-1, 2)
            write_npz(path, {"joint_pairs": pairs, **arrays, "sources": np.array(json.dumps(self.sources))})
            return
        number = lambda x: None if np.isnan(x) else round(float(x), 3)  # noqa: E731
        bones = [
            {"joints": list(pair), "mean_mm": number(mean), "std_mm": number(std), "count": int(count)}
            for pair, mean, std, count in zip(self.joint_pairs, self.mean_mm, self.std_mm, self.count, strict=True)
        ]
        with replacing(path) as temporary:
            data = {"format": FORMAT, "sources": list(self.sources), "bones": bones}
            temporary.write_text(json.dumps(data, indent=1) + "\n")

    @classmethod
    def load(cls, path) -> BoneStatistics:
        """Reads what `save` wrote; UserError says what is wrong with the file."""
        path = Path(path)
        try:
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as stored:
                    pairs = tuple((str(a), str(b)) for a, b in stored["joint_pairs"])
                    arrays = [np.asarray(stored[name], np.float64) for name in ("mean_mm", "std_mm", "count")]
                    sources = tuple(json.loads(str(stored["sources"])))
            else:
                data = load_json(path)
                bones, sources = data["bones"], tuple(data["sources"])
                pairs = tuple((str(a), str(b)) for a, b in (bone["joints"] for bone in bones))
                arrays = [np.array([bone[n] for bone in bones], np.float64) for n in ("mean_mm", "std_mm", "count")]
        except FileNotFoundError:
            raise UserError(
                f"There is no file {path}; make one with `python -m data_processing bone-lengths`."
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} cannot be read as a file of bone lengths ({error}).") from None
        if any(a.shape != (len(pairs),) for a in arrays):
            raise UserError(f"{path} cannot be read as a file of bone lengths: its arrays differ in length.")
        return cls(pairs, *arrays, sources)


def bone_statistics(
    stores: Sequence[PoseStore], *, split: str = "train", skeleton: Skeleton | None = None
) -> BoneStatistics:
    """Statistics over a split of 3D stores, each example counting once; stores without that split are left out.

    Args:
        skeleton: whose edges to measure (also a merged one); None: the union of the stores' skeletons.
    """
    for store in stores:
        if store.kind != "3d":
            raise UserError(f"{store.path} has 2D labels; bone lengths need 3D pose stores.")
    used = [s for s in stores if s.splits.get(split)]
    if not used:
        raise UserError(f"None of the pose stores has examples in split '{split}'; nothing can be measured.")
    skeleton = skeleton or union(s.skeleton for s in used)
    count, total, squares = np.zeros((3, len(skeleton.edges)))
    for store in used:
        position = {int(j): i for i, j in enumerate(corresponding_joints(skeleton, store.skeleton.joint_names))}
        labelled = np.array([i for i, edge in enumerate(skeleton.edges) if set(edge) <= set(position)], int)
        if not len(labelled):
            continue
        ends = np.array([[position[a], position[b]] for a, b in (skeleton.edges[i] for i in labelled)])
        for coords in _blocks(store.column(split, "coords")):
            lengths = np.linalg.norm(coords[:, ends[:, 0]] - coords[:, ends[:, 1]], axis=-1)
            known = np.isfinite(lengths)
            lengths = np.where(known, lengths, 0)
            count[labelled] += known.sum(0)
            total[labelled] += lengths.sum(0)
            squares[labelled] += (lengths**2).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    names = skeleton.joint_names
    sources = [
        {"store": s.name, "split": split, "examples": s.splits[split], "licence": s.metadata.get("licence", "")}
        for s in used
    ]
    return BoneStatistics(tuple((names[a], names[b]) for a, b in skeleton.edges), mean, std, count, tuple(sources))


def _blocks(coords: np.ndarray) -> Iterable[np.ndarray]:
    for start in range(0, len(coords), _ROWS_AT_ONCE):
        yield np.asarray(coords[start : start + _ROWS_AT_ONCE], np.float64)
