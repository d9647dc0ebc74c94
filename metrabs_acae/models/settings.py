"""Settings of the network and of its training loss. Free of Keras, so that a command line is there at once."""

from __future__ import annotations

from metrabs_acae.settings import setting, settings


@settings
class LossWeights:
    """Weights of the loss terms; the defaults are the paper's."""

    projection: float = setting(1.0, at_least=0, flag="projection_loss_factor")
    """Weight of the projected error in the pose loss, beside the mean-relative one of weight 1."""
    absolute: float = setting(0.1, at_least=0, flag="absloss_factor")
    """Weight of the absolute position loss."""
    weak_2d: float = setting(0.2, at_least=0, flag="loss2d_factor")
    """Weight of the 2D-labelled examples' loss."""
    manifold: float = setting(1.0, at_least=0, flag="loss_manif_factor")
    """Weight of the distance between joints and their auto-encoded selves (variants regularize and hybrid)."""
    manifold_2d: float = setting(1.0, at_least=0, flag="loss_manif_factor2d")
    """Further factor of that loss on the 2D-labelled examples."""
    autoencoded: float | None = setting(None, at_least=0, flag="allhead_aegt_loss_factor")
    """Weight of the pose loss on auto-encoded joints; none: 1 for hybrid, 0 for regularize."""
    teacher: float = setting(1.0, at_least=0, flag="teacher_loss_factor")
    """Weight of the loss between latents and encoded joints (variant hybrid)."""
    stop_gradient_teacher: bool = setting(True, flag="stop_gradient_latent")
    """Keep that loss from moving the joints."""
