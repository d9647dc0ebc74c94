"""Who is whom in 3DPW: from labelled tracks to rows of predictions, by three rules.

`associate` compares every frame with the 2D labels; `follow` uses the labels only where a track begins and then follows
the predictions themselves; `given_identities` takes the predictions' person numbers.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from metrabs_acae.evaluation.predictions import Predictions, joint_positions, row_codes
from metrabs_acae.evaluation.truth import Truth

ASSOCIATION_JOINTS = ("lsho", "rsho", "lelb", "relb", "lhip", "rhip", "lkne", "rkne")
MIN_CONFIDENCE = 0.2
MIN_ASSOCIATION_JOINTS = 5


def associate(predictions: Predictions, truth: Truth) -> np.ndarray:
    """[P] for each labelled person the row of the prediction, or -1; both with 2D joints.

    Per frame the best one-to-one assignment of labels to predictions; a label of too few confident joints is replaced
    by the track's previous prediction.
    """
    scene = _Scene(predictions, truth)
    associated = np.full(len(truth), -1, np.int64)
    previous: dict[tuple[str, int], int] = {}
    for rows, found in scene.frames():
        if not len(rows) or not len(found):
            continue
        similarity = np.zeros((len(rows), len(found)))
        for k, row in enumerate(rows):
            if scene.is_clear(row):
                similarity[k] = scene.to_label(found, row)
            elif scene.track(row) in previous:
                similarity[k] = scene.to_prediction(found, previous[scene.track(row)])
        for k, j in _pairs(similarity):
            associated[rows[k]] = found[j]
            previous[scene.track(rows[k])] = int(found[j])
    return associated


def follow(predictions: Predictions, truth: Truth) -> np.ndarray:
    """[P] as `associate`, but without labels after the frame in which a track is first found.

    A track begins at its first label of enough confident joints that a free prediction resembles. From then on it
    takes, in every frame that has predictions (labelled or not), the one that resembles its last one; all running
    tracks of a sequence choose together. A track that finds nothing waits with its last prediction.
    """
    scene = _Scene(predictions, truth)
    associated = np.full(len(truth), -1, np.int64)
    last: dict[tuple[str, int], int] = {}
    for rows, found in scene.frames():
        if not len(found):
            continue
        sequence = predictions.sequence[found[0]]
        running = [track for track in last if track[0] == sequence]
        similarity = np.array([scene.to_prediction(found, last[t]) for t in running]).reshape(len(running), len(found))
        taken = set()
        for k, j in _pairs(similarity):
            last[running[k]] = int(found[j])
            taken.add(running[k])
        rest = np.array([i for i in found if i not in {last[t] for t in taken}], np.int64)
        new = [row for row in rows if scene.track(row) not in running and scene.is_clear(row)]
        similarity = np.array([scene.to_label(rest, row) for row in new]).reshape(len(new), len(rest))
        for k, j in _pairs(similarity):
            last[scene.track(new[k])] = int(rest[j])
            taken.add(scene.track(new[k]))
        for row in rows:
            if scene.track(row) in taken:
                associated[row] = last[scene.track(row)]
    return associated


def given_identities(predictions: Predictions, truth: Truth) -> np.ndarray:
    """[P] the row of the prediction with the same sequence, frame and person, or -1."""
    columns = ("sequence", "frame", "person")
    codes = row_codes(*(np.concatenate([getattr(truth, c), getattr(predictions, c)]) for c in columns))
    row = {int(code): i for i, code in enumerate(codes[len(truth) :])}
    return np.array([row.get(int(code), -1) for code in codes[: len(truth)]], np.int64)


def _pairs(similarity: np.ndarray) -> list[tuple[int, int]]:
    """The one-to-one assignment of largest total similarity, without pairs of similarity 0."""
    return [(k, j) for k, j in zip(*linear_sum_assignment(similarity, maximize=True), strict=True) if similarity[k, j]]


class _Scene:
    """2D joints of labels and predictions, frame by frame."""

    def __init__(self, predictions: Predictions, truth: Truth):
        self.predictions, self.truth = predictions, truth
        wanted = [f"{j}_smpl" for j in ASSOCIATION_JOINTS]
        self.pred2d = predictions.poses2d_px[
            :, joint_positions(predictions.joint_names, wanted, "The predictions have")
        ]
        bare = [n.partition("_")[0] for n in truth.joint_names_2d]
        index = joint_positions(bare, ASSOCIATION_JOINTS, "The 2D labels have")
        self.true2d = np.nan_to_num(truth.poses2d_px[:, index])
        self.confident = np.isfinite(truth.poses2d_px[:, index]).all(-1)
        if truth.confidence2d is not None:
            self.confident &= truth.confidence2d[:, index] >= MIN_CONFIDENCE
        self.size = np.linalg.norm(self.pred2d[:, 1] - self.pred2d[:, 4], axis=-1)  # right shoulder, left hip

    def frames(self) -> list[tuple[list[int], np.ndarray]]:
        """(rows of labels, rows of predictions) of every frame of every sequence, in order."""
        t, p = self.truth, self.predictions
        sequence, frame = (np.concatenate([getattr(t, c), getattr(p, c)]) for c in ("sequence", "frame"))
        codes = row_codes(sequence, frame)
        order = np.lexsort((np.concatenate([t.person, p.person]), frame, sequence))
        groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []
        n = len(t)
        return [([int(i) for i in g if i < n], np.sort(g[g >= n] - n)) for g in groups]

    def track(self, row: int) -> tuple[str, int]:
        return self.truth.sequence[row], int(self.truth.person[row])

    def is_clear(self, row: int) -> bool:
        return self.confident[row].sum() >= MIN_ASSOCIATION_JOINTS

    def to_label(self, found: np.ndarray, row: int) -> np.ndarray:
        return self._similarity(found, self.true2d[row], self.confident[row])

    def to_prediction(self, found: np.ndarray, other: int) -> np.ndarray:
        return self._similarity(found, self.pred2d[other], np.ones(len(ASSOCIATION_JOINTS), bool))

    def _similarity(self, found: np.ndarray, reference: np.ndarray, usable: np.ndarray) -> np.ndarray:
        """[len(found)] mean over the usable joints of max(0, 1 - distance / size of the prediction)."""
        distance = np.linalg.norm(self.pred2d[found][:, usable] - reference[usable], axis=-1)
        closeness = 1.0 - distance / np.maximum(self.size[found], 1e-9)[:, None]
        return np.maximum(0.0, closeness).mean(-1)
