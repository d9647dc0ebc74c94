"""A fitted affine-combining autoencoder: two weight matrices, and what can be done with them."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import write_npz
from metrabs_acae.joint_names import read_names
from metrabs_acae.layers.blocks import normalize_columns

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Acae:
    """Affine-combining autoencoder (WACV 2023): J joints -> L latent points -> J joints.

    Each latent is an affine combination of joints and each joint one of latents, so that
    ``encode(p @ A.T + t) == encode(p) @ A.T + t`` for every matrix A and translation t.

    Attributes:
        encoder: [J, L] float64, columns sum to 1.
        decoder: [L, J] float64, columns sum to 1.
        joint_names: J names, in the order that poses must have.
        latent_names: L names; first letter = side.
        latent_gram_mm2: [L, L] second moments of the latents about each pose's mean latent, on the poses of the fit
            (mean over poses, summed over coordinates); what `convert` knows about people. None: not known.
        settings: how it was fitted; plain types.
    """

    encoder: np.ndarray
    decoder: np.ndarray
    joint_names: tuple[str, ...]
    latent_names: tuple[str, ...]
    latent_gram_mm2: np.ndarray | None = None
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        encoder, decoder = (np.asarray(w, np.float64) for w in (self.encoder, self.decoder))
        n_joints, n_latents = len(self.joint_names), len(self.latent_names)
        if encoder.shape != (n_joints, n_latents) or decoder.shape != (n_latents, n_joints):
            raise UserError(
                f"An autoencoder of {n_joints} joints and {n_latents} latents needs an encoder [{n_joints}, "
                f"{n_latents}] and a decoder [{n_latents}, {n_joints}], got {list(encoder.shape)} and "
                f"{list(decoder.shape)}."
            )
        for name, weights in (("encoder", encoder), ("decoder", decoder)):
            sums = weights.sum(axis=0)
            if not np.allclose(sums, 1, atol=1e-3):
                worst = sums[np.argmax(np.abs(sums - 1))] if np.isfinite(sums).all() else np.nan
                raise UserError(
                    f"Every column of the {name} must sum to 1 (affine weights), but one sums to {worst:g}."
                )
            # Weights that are exact already stay bit-identical through save and load.
            object.__setattr__(self, name, weights if np.allclose(sums, 1, rtol=0, atol=1e-12) else weights / sums)
        if self.latent_gram_mm2 is not None:
            object.__setattr__(self, "latent_gram_mm2", np.asarray(self.latent_gram_mm2, np.float64))
        object.__setattr__(self, "joint_names", read_names(self.joint_names))
        object.__setattr__(self, "latent_names", tuple(str(n) for n in self.latent_names))

    @property
    def n_joints(self) -> int:
        return len(self.joint_names)

    @property
    def n_latents(self) -> int:
        return len(self.latent_names)

    def encode(self, poses: np.ndarray) -> np.ndarray:
        """[..., J, D] points -> [..., L, D] latents. Any unit and frame; D is 3 or 2."""
        return combine(poses, self.encoder, "joints")

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """[..., L, D] latents -> [..., J, D] points."""
        return combine(latents, self.decoder, "latents")

    def reconstruct(self, poses: np.ndarray) -> np.ndarray:
        """decode(encode(poses)): the nearest thing to `poses` on which all skeletons agree."""
        return self.decode(self.encode(poses))

    def second_moments(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """[len(a), len(b)] mm² of joints (indices), as far as the latents tell.

        Raises:
            UserError: a file that does not say how its latents varied.
        """
        if self.latent_gram_mm2 is None:
            raise UserError(
                "This autoencoder file does not say how latents vary together (latent_gram_mm2), which converting from "
                "some of its joints needs; fit it again."
            )
        return self.decoder[:, a].T @ self.latent_gram_mm2 @ self.decoder[:, b]

    def require_joints(self, joint_names: Sequence[str]) -> None:
        """Raises UserError unless `joint_names` are this autoencoder's joints in this order."""
        names = list(read_names(joint_names))
        if names == list(self.joint_names):
            return
        if sorted(names) == sorted(self.joint_names):
            i = next(i for i, (a, b) in enumerate(zip(names, self.joint_names, strict=True)) if a != b)
            raise UserError(
                f"The autoencoder has the same joints in a different order (first difference: joint {i} is "
                f"'{self.joint_names[i]}' here, '{names[i]}' there); use acae.reordered(joint_names)."
            )
        missing = [n for n in names if n not in set(self.joint_names)]
        extra = [n for n in self.joint_names if n not in set(names)]
        raise UserError(
            f"The autoencoder was fitted to other joints: it has {self.n_joints}, {len(names)} were asked for; it "
            f"lacks {', '.join(missing[:5]) or 'none'} and has besides {', '.join(extra[:5]) or 'none'}; fit it again."
        )

    def reordered(self, joint_names: Sequence[str]) -> Acae:
        """The same autoencoder with its joints in the order of `joint_names` (the same names)."""
        if sorted(joint_names) != sorted(self.joint_names):
            self.require_joints(joint_names)
        index = {n: i for i, n in enumerate(self.joint_names)}
        order = [index[str(n)] for n in joint_names]
        return dataclasses.replace(
            self, encoder=self.encoder[order], decoder=self.decoder[:, order], joint_names=tuple(joint_names)
        )

    def thresholded(self, smallest: float = 1e-3) -> Acae:
        """With weights smaller than `smallest` set to zero and columns normalized again.

        The largest weight of a column always stays.
        """

        def cut(weights: np.ndarray) -> np.ndarray:
            size = np.abs(weights)
            return normalize_columns(np.where((size >= smallest) | (size == size.max(axis=0)), weights, 0.0))

        settings = {**self.settings, "threshold": smallest}
        return dataclasses.replace(self, encoder=cut(self.encoder), decoder=cut(self.decoder), settings=settings)

    def save(self, path: str | Path) -> None:
        """Writes acae.npz (plain arrays, no pickle), all of it or nothing."""
        arrays = {
            "format_version": np.array(FORMAT_VERSION),
            "encoder": self.encoder,
            "decoder": self.decoder,
            "joint_names": np.array(self.joint_names),
            "latent_names": np.array(self.latent_names),
            "settings": np.array(json.dumps(self.settings)),
        }
        if self.latent_gram_mm2 is not None:
            arrays["latent_gram_mm2"] = self.latent_gram_mm2
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Acae:
        """Reads what `save` wrote; UserError on a missing, broken or foreign file."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
        except FileNotFoundError:
            raise UserError(f"There is no autoencoder file {path}; make one with --train-acae.") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            raise UserError(f"{path} cannot be read as an .npz file; make it again with --train-acae.") from None
        needed = ("encoder", "decoder", "joint_names", "latent_names")
        missing = [n for n in needed if n not in arrays]
        if missing:
            raise UserError(f"{path} is not an autoencoder file: it lacks {', '.join(missing)}.")
        version = int(arrays.get("format_version", FORMAT_VERSION))
        if version > FORMAT_VERSION:
            raise UserError(
                f"{path} has format version {version}; this program reads up to {FORMAT_VERSION}: update it."
            )
        return cls(
            arrays["encoder"],
            arrays["decoder"],
            tuple(arrays["joint_names"].tolist()),
            tuple(arrays["latent_names"].tolist()),
            arrays.get("latent_gram_mm2"),
            json.loads(str(arrays["settings"])) if "settings" in arrays else {},
        )


def combine(points: np.ndarray, weights: np.ndarray, what: str) -> np.ndarray:
    """[..., n_in, D] points -> [..., n_out, D] by weights [n_in, n_out], in float64."""
    points = np.asarray(points)
    if points.ndim < 2 or points.shape[-2] != weights.shape[0]:
        raise UserError(
            f"Expected an array [..., {weights.shape[0]} {what}, coordinates], got the shape {list(points.shape)}."
        )
    combined = np.tensordot(points.astype(np.float64, copy=False), weights, axes=(-2, 0))
    return np.moveaxis(combined, -1, -2)
