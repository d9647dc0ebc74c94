"""What can be set of an autoencoder's fit and of the poses that it is fitted to."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class AcaeFit:
    """Settings of an autoencoder's fit: those of `fit_acae` and the last two."""

    n_latents: int = setting(48, above=0)
    """Number of latent points."""
    n_center_latents: int = setting(8, at_least=0)
    """How many of them lie on the body's symmetry plane."""
    weights: Literal["nonnegative", "affine"] = setting("nonnegative", flag="acae_weights")
    """Convex combinations, or signed weights as in the paper."""
    sparsity: float = setting(0.6, at_least=0)
    """Factor of the L1 regularizer (signed weights only)."""
    loss_space: Literal["image", "3d"] = setting("image", flag="acae_loss_space")
    """Compare positions in the image plane, or in space."""
    chiral: bool = setting(True)
    """Mirrored poses get mirrored latents, exactly."""
    n_restarts: int = setting(8, above=0)
    """Short runs to choose the final run's start from."""
    steps: int = setting(5000, above=0, flag="acae_steps")
    """Steps of the final run."""
    batch_size: int = setting(32, above=0, flag="acae_batch_size")
    """Poses per step."""
    head_weight: float = setting(2.0, above=0)
    """Factor on the errors of head and face joints. The paper weights them higher but gives no number."""
    threshold: float = setting(0.0, at_least=0, flag="weight_threshold")
    """Set weights smaller than this to zero after the fit (0: none; 1e-3 is usual)."""


@settings
class PseudoLabels:
    """Settings of --pseudo-labels."""

    pseudo_label_on: tuple[str, ...] = setting(())
    """Stores as STORE or STORE:SPLIT (a path, or the name of one of the run's stores; split train if not given);
    empty: those of the run's 3D stores that are marked clean."""
    min_auc: float = setting(0.0, at_least=0, at_most=1)
    """Keep only poses whose mean AUC to 150 mm against the example's own labels exceeds this; 0: all."""
