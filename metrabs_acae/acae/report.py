"""The report on a fitted autoencoder: numbers as JSON and Markdown, and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metrabs_acae import tables
from metrabs_acae.acae import measure, pictures, poses_io
from metrabs_acae.acae.autoencoder import Acae

_DRIVEN = 4


def write_report(acae: Acae, poses_mm: np.ndarray, folder: str | Path, *, held_out: bool) -> dict:
    """Writes report.json, report.md, weights.png, latents.png and errors.png; returns the numbers.

    Args:
        poses_mm: [K, J, 3] poses to measure on.
        held_out: whether the autoencoder has not been fitted to them (stated in the report).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    errors = measure.reconstruction_errors(acae, poses_mm)
    numbers = {
        "n_poses": len(poses_mm),
        "held_out": held_out,
        "losses": measure.losses(
            acae,
            errors,
            sparsity=float(acae.settings.get("sparsity", 0.0)),
            loss_space=acae.settings.get("loss_space", "image"),
        ),
        "error_3d_mm": float(errors.joint_3d_mm.mean()),
        "error_2d_mm": float(errors.joint_2d_mm.mean()),
        "asymmetry_mm": measure.asymmetry_mm(acae, poses_io.sample_poses(poses_mm, 200))
        if acae.settings.get("chiral", True)
        else None,
        "encoder": measure.weight_statistics(acae.encoder),
        "decoder": measure.weight_statistics(acae.decoder),
        "skeletons": _by_skeleton(acae, errors),
        "joints": {
            name: {"error_3d_mm": round(float(e3), 3), "error_2d_mm": round(float(e2), 3)}
            for name, e3, e2 in zip(acae.joint_names, errors.joint_3d_mm, errors.joint_2d_mm, strict=True)
        },
        "latents": {name: _drives(acae, i) for i, name in enumerate(acae.latent_names)},
        "settings": acae.settings,
    }
    (folder / "report.json").write_text(json.dumps(numbers, indent=1) + "\n")
    (folder / "report.md").write_text(render(numbers) + "\n")
    pictures.draw_weights(acae, folder / "weights.png")
    pictures.draw_latents(acae, typical_pose(poses_mm), folder / "latents.png")
    pictures.draw_joint_errors(acae, errors.joint_2d_mm, errors.joint_3d_mm, folder / "errors.png")
    return numbers


def render(numbers: dict) -> str:
    """The report as Markdown."""
    which = "held-out poses" if numbers["held_out"] else "poses of the fit"
    losses, settings = numbers["losses"], numbers["settings"]
    lines = [
        "# Affine-combining autoencoder",
        "",
        f"{settings.get('n_latents')} latents, {settings.get('weights')} weights, loss in "
        f"{settings.get('loss_space')} space; measured on {numbers['n_poses']} {which}.",
        "",
        f"Reconstruction error {numbers['error_2d_mm']:.1f} mm in the image plane, {numbers['error_3d_mm']:.1f} mm in "
        f"3D; main loss {losses['main']:.5f} m, total {losses['total']:.5f} m, {losses['excess']:.5f} m above its "
        "floor. "
        + (
            "Not chiral."
            if numbers["asymmetry_mm"] is None
            else f"Mirror check: latents of mirrored poses differ by at most {numbers['asymmetry_mm']:.1e} mm."
        ),
    ]
    weights = [
        {
            "weights": name,
            "below 1e-3": f"{w['small_fraction']:.1%}",
            "negative": f"{w['negative_fraction']:.1%}",
            "used per point": w["used_per_point"],
            "largest": w["largest"],
        }
        for name, w in ((name, numbers[name]) for name in ("encoder", "decoder"))
    ]
    skeletons = [
        {
            "skeleton": name or "(no suffix)",
            "joints": row["n_joints"],
            "2D mm": row["error_2d_mm"],
            "3D mm": row["error_3d_mm"],
            "worst joint (2D mm)": f"{row['worst_joint']} ({row['worst_2d_mm']:.1f})",
        }
        for name, row in numbers["skeletons"].items()
    ]
    latents = [{"latent": k, "joints it drives (decoder weight)": v} for k, v in numbers["latents"].items()]
    for rows in (weights, skeletons, latents):
        lines += ["", tables.render(rows, "markdown", digits={"largest": 2})]
    return "\n".join(lines)


def typical_pose(poses_mm: np.ndarray) -> np.ndarray:
    """[J, 3] one of the poses that spreads widely sideways and little in depth: well to see from the front."""
    sample = poses_io.sample_poses(poses_mm, 300)
    spread = np.ptp(sample, axis=1)
    return sample[int(np.argmax(spread[:, 0] + 0.5 * spread[:, 1] - spread[:, 2]))]


def _by_skeleton(acae: Acae, errors: measure.Errors) -> dict:
    conventions = np.array([n.partition("_")[2] for n in acae.joint_names])
    rows = {}
    for convention in dict.fromkeys(conventions.tolist()):
        members = np.flatnonzero(conventions == convention)
        plane, space = errors.joint_2d_mm[members], errors.joint_3d_mm[members]
        worst = members[int(np.argmax(np.where(np.isfinite(plane), plane, space)))]
        rows[convention] = {
            "n_joints": len(members),
            "error_2d_mm": float(plane.mean()),
            "error_3d_mm": float(space.mean()),
            "worst_joint": acae.joint_names[worst],
            "worst_2d_mm": float(errors.joint_2d_mm[worst]),
        }
    return rows


def _drives(acae: Acae, latent: int) -> str:
    weights = acae.decoder[latent]
    strongest = np.argsort(-np.abs(weights))[:_DRIVEN]
    return ", ".join(f"{acae.joint_names[j]} {weights[j]:.2f}" for j in strongest if abs(weights[j]) >= 0.05)
