"""Shape, pose and translation -> joints and points of the skin, by linear blend skinning, in batches.

Millimetres out, metres inside (as the files have it). The axes are the model's: x the person's left, y up, z forward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrabs_acae.errors import UserError

BATCH = 64
"""Poses skinned at once: what the skin takes in memory does not grow with the number of poses."""
MM_PER_M = 1000


@dataclass(frozen=True, eq=False)
class BodyModel:
    """V vertices, J joints, S shape coefficients; lengths in metres.

    Attributes:
        kind: "smpl", "smplh" or "smplx".
        template: [V, 3] rest pose of the mean person.
        shape_basis: [V, 3, S] displacement per unit of a coefficient (SMPL-X: also of the expressions, which follow
            those of shape from `expression_start` on).
        pose_basis: [V, 3, 9 (J - 1)] displacement per entry of (rotation - identity) of every joint but the root.
        joint_regressor: [J, V] joints of the rest pose as weighted means of vertices.
        parents: [J] index of each joint's parent, -1 for the root; parents come first.
        weights: [V, J] skin weights.
        faces: [F, 3].
        hand_means: [2, 45] axis-angles of the relaxed left and right hand's 15 joints (zero where the model has none).
        hand_bases: [2, 45, 45] one principal component of hand poses per row.
    """

    kind: str
    template: np.ndarray
    shape_basis: np.ndarray
    pose_basis: np.ndarray
    joint_regressor: np.ndarray
    parents: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    expression_start: int
    hand_means: np.ndarray
    hand_bases: np.ndarray

    def __post_init__(self):
        regressor = np.asarray(self.joint_regressor, np.float64)
        object.__setattr__(self, "_joint_template", regressor @ self.template)
        object.__setattr__(self, "_joint_basis", np.einsum("jv,vds->jds", regressor, self.shape_basis, optimize=True))

    @property
    def n_joints(self) -> int:
        return len(self.parents)

    @property
    def n_vertices(self) -> int:
        return len(self.template)

    def joints(self, pose, shape=None, translation_m=None, *, expression=None) -> np.ndarray:
        """[N, J, 3] mm joints. Needs no skinning: a joint depends on shape and on the rotations of those before it.

        Args:
            pose: [N, 3 K] rotation of each joint relative to its parent, axis times angle (rad), root first; joints
                from K on are not rotated.
            shape: [N or 1, up to S] coefficients, or [up to S] for one person; missing ones are 0.
            translation_m: [N or 1, 3] or [3].
            expression: as `shape`, of SMPL-X's expression space.

        Raises:
            UserError: more joints or coefficients than the model has, or numbers of poses that disagree.
        """
        rotations, coefficients, translation = self._check(pose, shape, translation_m, expression)
        heads = self._rest_joints(coefficients)
        _, posed = self._chain(rotations, heads)
        return (posed + translation[:, None]) * MM_PER_M

    def vertices(self, pose, shape=None, translation_m=None, *, expression=None, indices=None) -> np.ndarray:
        """[N, V, 3] mm, float32; or of the vertices `indices` alone, which is cheaper. Arguments as for `joints`."""
        chosen = np.arange(self.n_vertices) if indices is None else np.asarray(indices, np.int64)
        return self._skinned(pose, shape, translation_m, expression, chosen, len(chosen), lambda v: v)

    def regress(self, regressor, pose, shape=None, translation_m=None, *, expression=None) -> np.ndarray:
        """[N, K, 3] mm points that a regressor [K, V] (e.g. of another skeleton's joints) takes from the posed skin."""
        regressor = np.asarray(regressor, np.float32)
        if regressor.ndim != 2 or regressor.shape[1] != self.n_vertices:
            raise UserError(f"A regressor of {self.kind} has shape [K, {self.n_vertices}], not {regressor.shape}.")
        used = np.flatnonzero(regressor.any(axis=0))
        regressor = regressor[:, used]
        # Vertices of weight zero need no skinning. The weights need not add up to 1, so the place is added afterwards.
        return self._skinned(
            pose, shape, translation_m, expression, used, len(regressor), lambda v: np.matmul(regressor, v)
        )

    def hand_pose(self, left, right, *, flat: bool = False) -> np.ndarray:
        """[N, 90] axis-angles of the hands' 30 joints from coefficients of principal components, [N, C] each.

        With 45 numbers a hand these are axis-angles themselves. Without `flat` they are relative to the relaxed hand.
        """
        posed = []
        for given, mean, basis in zip((left, right), self.hand_means, self.hand_bases, strict=True):
            given = np.atleast_2d(np.asarray(given, np.float64))
            angles = given if given.shape[1] == 45 else given @ basis[: given.shape[1]]
            posed.append(angles + (0 if flat else mean))
        return np.concatenate(posed, axis=1)

    def _skinned(self, pose, shape, translation_m, expression, chosen, n_out, reduce: Callable) -> np.ndarray:
        rotations, coefficients, translation = self._check(pose, shape, translation_m, expression)
        template = self.template[chosen].astype(np.float32)
        shape_basis = self.shape_basis[chosen].reshape(-1, self.shape_basis.shape[2]).astype(np.float32)
        pose_basis = self.pose_basis[chosen].reshape(len(chosen) * 3, -1).astype(np.float32)
        weights = self.weights[chosen].astype(np.float32)
        out = np.empty((len(rotations), n_out, 3), np.float32)
        for start in range(0, len(rotations), BATCH):
            part = slice(start, start + BATCH)
            R, c = rotations[part], coefficients[part]
            heads = self._rest_joints(c)
            turned, posed = self._chain(R, heads)
            n = len(R)
            v = template + (c.astype(np.float32) @ shape_basis.T).reshape(n, -1, 3)
            bend = (R[:, 1:] - np.eye(3)).reshape(n, -1).astype(np.float32)
            v = v + (bend @ pose_basis.T).reshape(n, -1, 3)
            offset = posed - np.einsum("njab,njb->nja", turned, heads)
            moves = np.concatenate([turned, offset[..., None]], axis=-1).reshape(n, -1, 12).astype(np.float32)
            moves = np.matmul(weights, moves).reshape(n, -1, 3, 4)
            v = np.einsum("nvab,nvb->nva", moves[..., :3], v) + moves[..., 3]
            out[part] = (reduce(v) + translation[part, None]) * MM_PER_M
        return out

    def _check(self, pose, shape, translation_m, expression):
        """Rotations [N, J, 3, 3], coefficients [N, S], translation [N, 3]."""
        pose = np.atleast_2d(np.asarray(pose, np.float64))
        pose = pose.reshape(len(pose), -1)
        n = len(pose)
        if pose.shape[1] % 3 or pose.shape[1] > 3 * self.n_joints:
            raise UserError(f"A pose of {pose.shape[1]} numbers does not fit {self.kind} with {self.n_joints} joints.")
        whole = np.zeros((n, self.n_joints, 3))
        whole[:, : pose.shape[1] // 3] = pose.reshape(n, -1, 3)
        coefficients = np.zeros((n, self.shape_basis.shape[2]))
        self._fill(coefficients[:, : self.expression_start], shape, "shape")
        self._fill(coefficients[:, self.expression_start :], expression, "expression")
        translation = np.zeros((n, 3))
        if translation_m is not None:
            translation[:] = np.asarray(translation_m, np.float64).reshape(-1, 3)
        return rotation_matrices(whole), coefficients, translation

    def _fill(self, target: np.ndarray, given, name: str) -> None:
        if given is None:
            return
        given = np.atleast_2d(np.asarray(given, np.float64))
        if given.shape[1] > target.shape[1] or len(given) not in (1, len(target)):
            raise UserError(
                f"{given.shape[1]} {name} coefficients of {len(given)} poses do not fit {len(target)} poses of the "
                f"{self.kind} file, which has {target.shape[1]}."
            )
        target[:, : given.shape[1]] = given

    def _rest_joints(self, coefficients: np.ndarray) -> np.ndarray:
        return self._joint_template + np.einsum("jds,ns->njd", self._joint_basis, coefficients, optimize=True)

    def _chain(self, rotations: np.ndarray, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations relative to the rest pose [N, J, 3, 3] and posed joints [N, J, 3]; the root stays in place."""
        turned, posed = rotations.copy(), heads.copy()
        for j, parent in enumerate(self.parents):
            if parent >= 0:
                turned[:, j] = turned[:, parent] @ rotations[:, j]
                posed[:, j] = posed[:, parent] + np.einsum(
                    "nab,nb->na", turned[:, parent], heads[:, j] - heads[:, parent]
                )
        return turned, posed


def rotation_matrices(rotvec) -> np.ndarray:
    """[..., 3] axis times angle (rad) -> [..., 3, 3] (Rodrigues)."""
    rotvec = np.asarray(rotvec, np.float64)
    angle = np.linalg.norm(rotvec, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(rotvec, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*rotvec.shape, 3)
    # sin(a) / a and (1 - cos(a)) / a^2, smooth at zero
    return np.eye(3) + np.sinc(angle / np.pi) * cross + np.sinc(angle / (2 * np.pi)) ** 2 / 2 * (cross @ cross)


def rotation_vector(matrix) -> np.ndarray:
    """[..., 3, 3] rotation matrices -> [..., 3] axis times angle (rad, at most pi); ValueError where not finite."""
    from scipy.spatial.transform import Rotation

    matrix = np.asarray(matrix, np.float64)
    if not np.isfinite(matrix).all():
        raise ValueError("a rotation is not finite")
    return Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec().reshape(matrix.shape[:-1])
