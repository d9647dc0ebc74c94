"""Fitting an affine-combining autoencoder to poses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from metrabs_acae.acae import poses_io
from metrabs_acae.acae.autoencoder import Acae
from metrabs_acae.acae.initial import choose_joints, initial_parameters, random_parameters
from metrabs_acae.acae.settings import AcaeFit
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.body_size import require_mm
from metrabs_acae.joint_names import read_names
from metrabs_acae.layers import blocks
from metrabs_acae.machine import n_cores

_SELECTION_POSES = 500
_COMPARISON_POSES = 1024
_PERTURBATION = 0.5
_FINAL_RATE = 1e-3
_GATHERED_VALUES = 4_000_000
_HEAD_BASES = ("nose", "eye", "ear", "jaw", "head", "htop", "brow", "cheek", "fronthead", "backhead")


def fit_acae(
    poses_mm: np.ndarray,
    joint_names: Sequence[str],
    *,
    n_latents: int = AcaeFit.n_latents,
    n_center_latents: int = AcaeFit.n_center_latents,
    weights: Literal["nonnegative", "affine"] = AcaeFit.weights,
    sparsity: float = AcaeFit.sparsity,
    loss_space: Literal["image", "3d"] = AcaeFit.loss_space,
    chiral: bool = AcaeFit.chiral,
    joint_weights: np.ndarray | Mapping[str, float] | None = None,
    start: Literal["joints", "random"] = "joints",
    seed: int = 0,
    n_restarts: int = AcaeFit.n_restarts,
    steps: int = AcaeFit.steps,
    batch_size: int = AcaeFit.batch_size,
    learning_rate: float = 0.01,
    rows: np.ndarray | None = None,
    unit_is_known: bool = False,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Acae:
    """Fits encoder and decoder by Adam on the L1 reconstruction error, starting from the best of several short runs.

    The loss is mean |reconstruction error| in metres + `sparsity` (mean |encoder| + mean |decoder|), WACV 2023
    section 3. With nonnegative weights the second part is constant. The learning rate falls to nothing along half a
    cosine. The same arguments give the same result, whatever `workers` is.

    Args:
        poses_mm: [K, J, 3], camera frame; may be memory-mapped, of any size.
        joint_names: J names with side letters, see `metrabs_acae.skeletons`.
        n_latents: L; n_center_latents of them central, the others in left-right pairs (ignored without `chiral`).
        weights: "nonnegative": every point is a convex combination; "affine": signed weights (the paper's).
        sparsity: the paper's lambda.
        loss_space: "image": compare positions in the image plane, scaled by the pose's mean depth; "3d": in space.
        chiral: mirrored poses get mirrored latents, exactly.
        joint_weights: [J] factors on the joints' errors, or factors by joint name (others 1); scaled to mean 1.
        start: where latents start: at joints chosen greedily, or from random weights (the paper's, for comparison).
        n_restarts: short runs of steps / 6 each; the one that ends with the lowest loss goes on.
        steps: of the final run, and batch_size: poses per step.
        learning_rate: at the start of each run.
        rows: fit only to these poses; None: to all.
        unit_is_known: poses are in mm whatever their size (a bad model's); else that is judged by the size of the body.
        workers: threads for the short runs; None: the usable cores.
        progress: receives a line of text now and then.

    Raises:
        UserError: see `poses_io.check_poses`, `blocks.layout_of`; counts that do not fit; unknown choices.
    """
    from metrabs_acae.acae import kernels

    names = read_names(joint_names)
    _check_choice("weights", weights, ("nonnegative", "affine"))
    _check_choice("loss_space", loss_space, ("image", "3d"))
    _check_choice("start", start, ("joints", "random"))
    for name, value in {"n_restarts": n_restarts, "steps": steps, "batch_size": batch_size}.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}.")
    if not sparsity >= 0 or not learning_rate > 0:
        raise UserError(f"sparsity must be at least 0 and learning_rate above 0, got {sparsity} and {learning_rate}.")
    poses_mm = np.asanyarray(poses_mm)
    poses_io.check_poses(poses_mm, names)
    if not unit_is_known:
        require_mm("The array of poses", poses_mm, names)
    layout = blocks.layout_of(names, chiral=chiral)
    n_pairs_out, n_center_out = _latent_counts(layout, n_latents, n_center_latents if chiral else n_latents)
    usable = poses_io.usable_rows(poses_mm, loss_space)
    asked = len(poses_mm) if rows is None else len(rows)
    rows = usable if rows is None else np.intersect1d(rows, usable)
    factors = joint_factors(names, joint_weights)[layout.order].astype(np.float32)
    report = progress or (lambda line: None)

    sample = poses_io.sample_poses(poses_mm, _SELECTION_POSES, rows)[:, layout.order]
    selection = (_image_plane(sample) if loss_space == "image" else sample) * np.sqrt(factors)[:, None]
    comparison_rows = rows[np.linspace(0, len(rows) - 1, min(_COMPARISON_POSES, len(rows))).astype(np.int64)]

    def run(parameters: np.ndarray, batches: np.ndarray, rates: np.ndarray) -> np.ndarray:
        parameters, losses = parameters.copy(), np.empty(len(batches), np.float32)
        gradients, first, second = (np.zeros_like(parameters) for _ in range(3))
        steps_at_once = max(1, _GATHERED_VALUES // (batches.shape[1] * len(names) * 3))
        for start in range(0, len(batches), steps_at_once):
            part = slice(start, start + steps_at_once)
            kernels.train(
                np.ascontiguousarray(poses_mm[batches[part]], np.float32),
                layout.order,
                layout.n_pairs,
                n_pairs_out,
                n_center_out,
                rates[part],
                factors,
                sparsity,
                loss_space == "image",
                weights == "nonnegative",
                parameters,
                gradients,
                first,
                second,
                start,
                losses[part],
            )
        return parameters if rates[0] else losses

    def matrices(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, c, d = kernels.split.py_func(parameters, layout.n_pairs, layout.n_center, n_pairs_out, n_center_out)
        encoder = blocks.normalize_columns(blocks.assemble(a, b, layout.n_pairs))
        decoder = blocks.normalize_columns(blocks.assemble(c, d, n_pairs_out))
        return encoder, decoder

    def total_loss(parameters: np.ndarray) -> float:
        loss = float(run(parameters, comparison_rows[None], np.zeros(1))[0])
        if weights == "affine":
            loss += sparsity * sum(float(np.abs(w).mean()) for w in matrices(parameters))
        return loss

    def short_run(attempt: int) -> tuple[float, np.ndarray]:
        rng = np.random.default_rng([seed, 1, attempt])
        if start == "random":
            parameters = random_parameters(layout, n_pairs_out, n_center_out, rng, nonnegative=weights == "nonnegative")
        else:
            noise = _PERTURBATION if attempt else 0.0
            chosen = choose_joints(selection, layout.n_pairs, n_pairs_out, n_center_out, rng=rng, perturbation=noise)
            parameters = initial_parameters(sample[::3], layout, *chosen, rng)
        count = max(1, steps // 6)
        parameters = run(parameters, _batches(rows, count, batch_size, rng), _cosine(learning_rate, count))
        return total_loss(parameters), parameters

    with threadpool_limits(limits=1, user_api="blas"):
        with ThreadPoolExecutor(min(n_restarts, workers or n_cores())) as pool:
            attempts = list(pool.map(short_run, range(n_restarts)))
        losses = [loss for loss, _ in attempts]
        best = int(np.nanargmin(losses))
        report(f"{n_restarts} short runs: losses {min(losses):.5f} to {max(losses):.5f}; going on with number {best}.")
        rng = np.random.default_rng([seed, 2])
        final = run(attempts[best][1], _batches(rows, steps, batch_size, rng), _cosine(learning_rate, steps))
        loss = total_loss(final)
    report(f"{steps} steps: loss {loss:.5f}.")

    encoder, decoder = (w for w in matrices(final.astype(np.float64)))
    encoder, decoder = encoder[layout.inverse], decoder[:, layout.inverse]
    settings = {
        "n_latents": n_latents,
        "n_center_latents": n_center_out,
        "weights": weights,
        "sparsity": sparsity,
        "loss_space": loss_space,
        "chiral": chiral,
        "start": start,
        "seed": seed,
        "n_restarts": n_restarts,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "joint_weights": joint_factors(names, joint_weights).round(6).tolist() if joint_weights is not None else None,
        "n_poses": len(rows),
        "n_poses_left_out": asked - len(rows),
        "training_loss": round(loss, 7),
    }
    latent_names = blocks.latent_names(n_pairs_out, n_center_out)
    gram = latent_gram(poses_io.sample_poses(poses_mm, 4096, rows), encoder, n_pairs_out)
    return Acae(encoder, decoder, names, latent_names, gram, settings)


def joint_factors(joint_names: Sequence[str], joint_weights) -> np.ndarray:
    """[J] factors of mean 1 from `fit_acae`'s argument `joint_weights`."""
    if joint_weights is None:
        return np.ones(len(joint_names))
    if isinstance(joint_weights, Mapping):
        unknown = [n for n in joint_weights if n not in set(joint_names)]
        if unknown:
            raise UserError(f"joint_weights names joints that the poses lack: {', '.join(unknown[:5])}.")
        joint_weights = [joint_weights.get(n, 1.0) for n in joint_names]
    factors = np.asarray(joint_weights, np.float64)
    if factors.shape != (len(joint_names),) or not (factors >= 0).all() or not factors.sum() > 0:
        raise UserError(f"joint_weights must be {len(joint_names)} numbers of at least 0, one per joint, not all 0.")
    return factors / factors.mean()


def head_weights(joint_names: Sequence[str], factor: float) -> np.ndarray:
    """[J] `factor` for joints of head and face, 1 for the others.

    The paper weights head and face higher and gives no number; its public code does not.
    """
    bases = [n.split("_")[0] for n in joint_names]
    return np.array([factor if any(b.endswith(h) or b[1:].startswith(h) for h in _HEAD_BASES) else 1.0 for b in bases])


def latent_gram(poses_mm: np.ndarray, encoder: np.ndarray, n_pairs: int) -> np.ndarray:
    """[L, L] mean over poses of the latents' products about the pose's mean latent, symmetric under mirroring."""
    latents = np.tensordot(poses_mm, encoder, axes=(1, 0))
    latents = latents - latents.mean(axis=-1, keepdims=True)
    gram = np.einsum("kdl,kdm->lm", latents, latents) / len(latents)
    mirror = blocks.mirrored_order(n_pairs, encoder.shape[1] - 2 * n_pairs)
    return (gram + gram[np.ix_(mirror, mirror)]) / 2


def _latent_counts(layout: blocks.Layout, n_latents: int, n_center: int) -> tuple[int, int]:
    """Numbers of latent pairs and of central latents; UserError if the joints cannot carry them."""
    if n_latents < 1 or not 0 <= n_center <= n_latents or (n_latents - n_center) % 2:
        raise UserError(
            f"n_latents - n_center_latents must be even and not negative (left-right pairs), got {n_latents} and "
            f"{n_center}."
        )
    if n_latents > layout.n_points:
        raise UserError(f"{n_latents} latents are more than the {layout.n_points} joints; ask for fewer.")
    n_pairs = (n_latents - n_center) // 2
    if n_pairs > layout.n_pairs or n_center > layout.n_pairs + layout.n_center:
        raise UserError(
            f"{n_pairs} latent pairs and {n_center} central latents are more than the joints can carry "
            f"({layout.n_pairs} left-right pairs, {layout.n_center} central joints); change n_latents or "
            "n_center_latents."
        )
    return n_pairs, n_center


def _batches(rows: np.ndarray, steps: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """[steps, batch_size] rows: one shuffled pass over all after the other."""
    passes = -(-steps * batch_size // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(passes)])[: steps * batch_size].reshape(
        steps, batch_size
    )


def _cosine(learning_rate: float, steps: int) -> np.ndarray:
    """[steps] learning rates along half a cosine, down to a thousandth of the first."""
    falling = (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2
    return learning_rate * (_FINAL_RATE + (1 - _FINAL_RATE) * falling)


def _image_plane(poses_mm: np.ndarray) -> np.ndarray:
    """[K, J, 3] -> [K, J, 2] mm: positions in the image plane at the pose's mean depth."""
    depth = poses_mm[..., 2:]
    return poses_mm[..., :2] / depth * depth.mean(axis=1, keepdims=True)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
