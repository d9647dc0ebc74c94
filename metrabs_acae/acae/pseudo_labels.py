"""Pseudo-labels: a model's predictions of all joints on many images, streamed to a pose file of any size.

While it grows, the file is a folder `<path>.partial` with raw rows and a small index; it can be interrupted at any time
and goes on from the last whole batch. Closing it writes the .npz or HDF5 file that `poses_io.load_poses` reads.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.joint_errors import joint_errors
from metrabs_acae.files import replacing, write_npz
from metrabs_acae.joint_names import read_names

_ORIGIN = np.dtype([("source", "<i4"), ("row", "<i8")])


class PoseFileWriter:
    """Appends poses [B, J, 3] with the source and row that each came from; resumes where an interrupted one stopped.

    Args:
        path: .npz or .h5 file to make.
        joint_names: J names.
        provenance: plain types; a partial file with another provenance or other joints is refused.

    Attributes:
        rows_done: {source index: rows read so far}, also counting rows that were filtered out.
        n_poses: poses written so far.
    """

    def __init__(self, path: str | Path, joint_names: Sequence[str], provenance: dict):
        self.path = Path(path)
        if self.path.suffix not in (".npz", ".h5", ".hdf5"):
            raise UserError(f"Pose files end in .npz or .h5, got {self.path}.")
        self.joint_names = read_names(joint_names)
        self.provenance = json.loads(json.dumps(provenance))
        self._folder = self.path.with_name(self.path.name + ".partial")
        self._poses_file, self._origin_file = self._folder / "poses.f32", self._folder / "origin.bin"
        self._index = self._folder / "index.json"
        self.rows_done: dict[int, int] = {}
        self.n_poses = 0
        if self._index.exists():
            self._resume()
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._poses_file.write_bytes(b"")
            self._origin_file.write_bytes(b"")

    def append(self, poses_mm: np.ndarray, *, source: int, rows: np.ndarray, rows_done: int) -> None:
        """Adds poses [B, J, 3] of rows [B] of a source, of which the first `rows_done` have been read with them."""
        poses = np.ascontiguousarray(poses_mm, "<f4")
        if poses.shape != (len(rows), len(self.joint_names), 3):
            raise UserError(f"Expected poses [{len(rows)}, {len(self.joint_names)}, 3], got {list(poses.shape)}.")
        origin = np.empty(len(rows), _ORIGIN)
        origin["source"], origin["row"] = source, rows
        for file, data in ((self._poses_file, poses), (self._origin_file, origin)):
            with open(file, "ab") as stream:
                stream.write(data.tobytes())
        self.n_poses += len(rows)
        self.rows_done[source] = rows_done
        state = {
            "joint_names": self.joint_names,
            "provenance": self.provenance,
            "n_poses": self.n_poses,
            "rows_done": self.rows_done,
        }
        with replacing(self._index) as temporary:
            temporary.write_text(json.dumps(state))

    def close(self) -> None:
        """Writes the finished file and removes the partial one."""
        if not self.n_poses:
            raise UserError(f"No pose was kept for {self.path}; loosen the filter or add examples.")
        shape = (self.n_poses, len(self.joint_names), 3)
        origin = np.fromfile(self._origin_file, _ORIGIN)
        poses = np.memmap(self._poses_file, "<f4", mode="r", shape=shape)
        provenance = json.dumps(self.provenance)
        if self.path.suffix == ".npz":
            write_npz(
                self.path,
                {
                    "poses": poses,
                    "joint_names": np.array(self.joint_names),
                    "source": origin["source"],
                    "row": origin["row"],
                    "provenance": np.array(provenance),
                },
            )
        else:
            _write_hdf5(self.path, poses, self.joint_names, origin, provenance)
        del poses
        shutil.rmtree(self._folder)

    def _resume(self) -> None:
        state = json.loads(self._index.read_text())
        if tuple(state["joint_names"]) != self.joint_names or state["provenance"] != self.provenance:
            raise UserError(
                f"{self._folder} holds unfinished pseudo-labels of other settings; finish them or delete that folder."
            )
        self.n_poses = state["n_poses"]
        self.rows_done = {int(k): v for k, v in state["rows_done"].items()}
        # Bytes beyond the index belong to a batch whose writing was interrupted.
        os.truncate(self._poses_file, self.n_poses * len(self.joint_names) * 3 * 4)
        os.truncate(self._origin_file, self.n_poses * _ORIGIN.itemsize)


def write_pseudo_labels(
    path: str | Path,
    sources: Sequence[tuple[str, int, Callable[[int], Iterable[dict]]]],
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    joint_names: Sequence[str],
    mirror: np.ndarray | None,
    label_joints: Sequence[np.ndarray] | None = None,
    min_auc: float = 0.0,
    provenance: dict | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> int:
    """Predicts every example of every source and writes the poses, in the original cameras' frames.

    Args:
        sources: (name, number of rows, batches from a row on). A batch is a dict of `data.pipeline.evaluation_dataset`:
            image, intrinsics, rotation_to_camera, index, valid3d and, for the filter, coords3d_mm. Examples without a
            valid label are left out: their images may be broken.
        predict: (images [B, S, S, 3], intrinsics [B, 3, 3]) -> [B, J, 3] mm, crop camera frame.
        mirror: [J] the skeleton's mirror map for mirror test-time augmentation; None: none.
        label_joints: per source, for each of its labelled joints the index of the same joint in the prediction.
        min_auc: with `label_joints`, keep only poses whose mean AUC (0..150 mm, Procrustes-aligned) against the
            example's own labels exceeds this; 0 keeps all.
        progress: receives (rows done, rows in all, poses kept) after each batch.

    Returns:
        number of poses in the file.
    """
    source_names = [name for name, _, _ in sources]
    details = {"sources": source_names, "mirrored": mirror is not None, "min_auc": min_auc, **(provenance or {})}
    writer = PoseFileWriter(path, joint_names, details)
    total = sum(count for _, count, _ in sources)
    for i, (_, count, batches_from) in enumerate(sources):
        done = writer.rows_done.get(i, 0)
        if done >= count:
            continue
        for batch in batches_from(done):
            batch = {name: np.asarray(value) for name, value in batch.items()}
            poses = predict_mirrored(predict, batch["image"], batch["intrinsics"], mirror)
            keep = np.isfinite(poses).all(axis=(1, 2)) & batch["valid3d"].any(axis=1)
            if label_joints is not None and min_auc > 0:
                keep &= agreement_auc(poses[:, label_joints[i]], batch["coords3d_mm"], batch["valid3d"]) > min_auc
            poses = np.einsum("nij,npj->npi", batch["rotation_to_camera"], poses)
            done += len(poses)
            writer.append(poses[keep], source=i, rows=batch["index"][keep], rows_done=done)
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


def _write_hdf5(path: Path, poses: np.ndarray, joint_names: Sequence[str], origin: np.ndarray, provenance: str) -> None:
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        dataset = file.create_dataset("poses", shape=poses.shape, dtype="<f4")
        step = max(1, 16_000_000 // (poses.shape[1] * 3))
        for start in range(0, len(poses), step):
            dataset[start : start + step] = poses[start : start + step]
        file["joint_names"] = np.array(joint_names, dtype="S")
        file["source"], file["row"] = origin["source"], origin["row"]
        file["provenance"] = provenance
