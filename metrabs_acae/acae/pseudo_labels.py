"""Pseudo-labels: a model's predictions of all joints on many images, streamed to a pose file of any size.

While it grows, the file is a `PartialFile`: it can be interrupted at any time and goes on from the last whole batch.
Closing it writes the .npz or HDF5 file that `poses_io.load_poses` reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.joint_errors import joint_errors
from metrabs_acae.files import PartialFile, replacing, write_npz, writing_hdf5
from metrabs_acae.joint_names import read_names


class PoseFileWriter:
    """Appends poses [B, J, 3] with the source and row that each came from; resumes where an interrupted one stopped.

    Args:
        path: .npz or .h5 file to make.
        joint_names: J names.
        provenance: plain types; a partial file with another provenance or other joints is refused.

    Attributes:
        rows_done: {source index: rows read so far}, also counting rows that were filtered out.
        n_broken: {source index: how many of them could not be read}.
        n_poses: poses written so far.
    """

    def __init__(self, path: str | Path, joint_names: Sequence[str], provenance: dict):
        self.path = Path(path)
        if self.path.suffix not in (".npz", ".h5", ".hdf5"):
            raise UserError(f"Pose files end in .npz or .h5, got {self.path}.")
        self.joint_names = read_names(joint_names)
        self.provenance = json.loads(json.dumps(provenance))
        columns = {"poses": ("<f4", (len(self.joint_names), 3)), "source": ("<i4", ()), "row": ("<i8", ())}
        made_with = {"joint_names": self.joint_names, "provenance": self.provenance}
        self._partial = PartialFile(path, made_with, columns, {"rows_done": {}}, what="pseudo-labels")
        self.rows_done, self.n_broken = (
            {int(k): v for k, v in self._partial.state.get(name, {}).items()} for name in ("rows_done", "n_broken")
        )

    @property
    def n_poses(self) -> int:
        return self._partial.n_rows

    def append(self, poses_mm: np.ndarray, *, source: int, rows: np.ndarray, rows_done: int, n_broken: int = 0) -> None:
        """Adds poses [B, J, 3] of rows [B] of a source, of which the first `rows_done` have been read with them, and
        `n_broken` of those were broken."""
        poses = np.ascontiguousarray(poses_mm, "<f4")
        if poses.shape != (len(rows), len(self.joint_names), 3):
            raise UserError(f"Expected poses [{len(rows)}, {len(self.joint_names)}, 3], got {list(poses.shape)}.")
        self.rows_done[source], self.n_broken[source] = rows_done, n_broken
        columns = {"poses": poses, "source": np.full(len(rows), source), "row": rows}
        self._partial.append(columns, {"rows_done": self.rows_done, "n_broken": self.n_broken})

    def close(self) -> None:
        """Writes the finished file and removes the partial one."""
        if not self.n_poses:
            raise UserError(f"No pose was kept for {self.path}; loosen the filter or add examples.")
        arrays = {name: self._partial.column(name) for name in ("poses", "source", "row")}
        arrays |= {"joint_names": np.array(self.joint_names), "provenance": np.array(json.dumps(self.provenance))}
        if self.path.suffix == ".npz":
            write_npz(self.path, arrays)
        else:
            _write_hdf5(self.path, arrays)
        self._partial.discard()


def write_pseudo_labels(
    path: str | Path,
    sources: Sequence[tuple[str, int, Callable[[int], Iterable[dict]]]],
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    joint_names: Sequence[str],
    mirror: np.ndarray | None,
    label_joints: Sequence[np.ndarray] | None = None,
    min_auc: float = 0.0,
    max_bad_fraction: float = 1.0,
    provenance: dict | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> int:
    """Predicts every example of every source and writes the poses, in the original cameras' frames.

    Args:
        sources: (name, number of rows, batches from a row on). A batch is a dict of `data.pipeline.evaluation_dataset`:
            image, intrinsics, rotation_to_camera, index, valid3d, broken (none is, if not given) and, for the filter,
            coords3d_mm. Examples without a valid label are left out.
        predict: (images [B, S, S, 3], intrinsics [B, 3, 3]) -> [B, J, 3] mm, crop camera frame.
        mirror: [J] the skeleton's mirror map for mirror test-time augmentation; None: none.
        label_joints: per source, for each of its labelled joints the index of the same joint in the prediction.
        min_auc: with `label_joints`, keep only poses whose mean AUC (0..150 mm, Procrustes-aligned) against the
            example's own labels exceeds this; 0 keeps all.
        max_bad_fraction: UserError where more of a source's examples are broken, also those of an interrupted run.
        progress: receives (rows done, rows in all, poses kept) after each batch.

    Returns:
        number of poses in the file.
    """
    source_names = [name for name, _, _ in sources]
    details = {"sources": source_names, "mirrored": mirror is not None, "min_auc": min_auc, **(provenance or {})}
    writer = PoseFileWriter(path, joint_names, details)
    total = sum(count for _, count, _ in sources)
    for i, (name, count, batches_from) in enumerate(sources):
        done, n_broken = writer.rows_done.get(i, 0), writer.n_broken.get(i, 0)
        if done >= count:
            continue
        for batch in batches_from(done):
            batch = {key: np.asarray(value) for key, value in batch.items()}
            n_broken += int(batch.get("broken", np.zeros(1, bool)).sum())
            if n_broken > max_bad_fraction * count:
                raise UserError(
                    f"So far {n_broken} of {count} examples are broken in {name}, more than --max-bad-fraction "
                    f"{max_bad_fraction:.1%}; mend the data or raise the limit, and start the same command again."
                )
            poses = predict_mirrored(predict, batch["image"], batch["intrinsics"], mirror)
            keep = np.isfinite(poses).all(axis=(1, 2)) & batch["valid3d"].any(axis=1)
            if label_joints is not None and min_auc > 0:
                keep &= agreement_auc(poses[:, label_joints[i]], batch["coords3d_mm"], batch["valid3d"]) > min_auc
            poses = np.einsum("nij,npj->npi", batch["rotation_to_camera"], poses)
            done += len(poses)
            writer.append(poses[keep], source=i, rows=batch["index"][keep], rows_done=done, n_broken=n_broken)
            if progress:
                progress(sum(writer.rows_done.values()), total, writer.n_poses)
    writer.close()
    return writer.n_poses


def predict_mirrored(
    predict: Callable, images: np.ndarray, intrinsics: np.ndarray, mirror: np.ndarray | None
) -> np.ndarray:
    """Mean of the prediction and of the mirrored image's prediction mirrored back; [B, J, 3] in the camera's frame."""
    poses = np.asarray(predict(images, intrinsics), np.float64)
    if mirror is None:
        return poses
    flipped_intrinsics = np.array(intrinsics, copy=True)
    flipped_intrinsics[:, 0, 2] = images.shape[2] - 1 - intrinsics[:, 0, 2]
    flipped_intrinsics[:, 0, 1] = -intrinsics[:, 0, 1]
    flipped = np.asarray(predict(images[:, :, ::-1], flipped_intrinsics), np.float64)
    return (poses + flipped[:, mirror] * [-1, 1, 1]) / 2


def agreement_auc(pred_mm: np.ndarray, true_mm: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[N] mean over valid joints of max(0, 1 - error / 150 mm) after Procrustes alignment; 1 where none is known."""
    valid = np.asarray(valid, bool)
    errors, counts = joint_errors(
        np.asarray(pred_mm, np.float64),
        np.where(valid[..., None], true_mm, 0).astype(np.float64),
        valid,
        alignment="procrustes",
    )
    score = np.maximum(0, 1 - np.where(counts, errors, 0) / 150)
    n = counts.sum(axis=1)
    return np.where(n > 0, (score * counts).sum(axis=1) / np.maximum(n, 1), 1.0)


def _write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    poses = arrays["poses"]
    with replacing(path) as temporary, writing_hdf5(temporary) as file:
        dataset = file.create_dataset("poses", shape=poses.shape, dtype="<f4")
        step = max(1, 16_000_000 // (poses.shape[1] * 3))
        for start in range(0, len(poses), step):
            dataset[start : start + step] = poses[start : start + step]
        file["joint_names"] = arrays["joint_names"].astype("S")
        file["source"], file["row"] = arrays["source"], arrays["row"]
        file["provenance"] = str(arrays["provenance"])
