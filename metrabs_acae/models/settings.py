"""Settings of the network and of its training loss. Free of Keras, so that a command line is there at once."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.settings import setting, settings

_OF_A_RUN = ("pseudo_labels", "train_acae", "predict", "evaluate", "export", "pack", "demo")
_ANY_WITH_A_MODEL = ("train", "show_batches", *_OF_A_RUN)


@settings
class NetworkSettings:
    """The network."""

    model: Literal["metrabs", "metro", "model25d"] = setting("metrabs", of_weights=True)
    """metrabs, or a baseline: metro (poses without a place in space) or model25d (their place from bone lengths)."""
    variant: str = setting("separate", used_by=_ANY_WITH_A_MODEL)
    """How the skeletons are kept consistent: separate (not at all), regularize (by a loss), latent (by predicting
    latents), hybrid (latents and joints), or MODULE:NAME of a variant of one's own: a run with such a one needs the
    flag again whenever its checkpoint is used."""
    stop_gradient_features: bool = setting(False)
    """Variant hybrid: keep the losses of the latents from reaching the backbone."""
    latent_start: Literal["random", "encoder"] = setting("random")
    """Variants latent and hybrid: what the latents' heatmaps start from: random (as the paper has it), or encoder (the
    heatmaps of the joints, combined as the encoder combines joints)."""
    merge_joints: bool = setting(False)
    """Predict one joint for all like-named joints of the skeletons (a baseline)."""
    backbone: str = setting("mobilenetv3-small", used_by=_ANY_WITH_A_MODEL, of_weights=True)
    """Name of a backbone, or MODULE:NAME of a package of one's own: a run with such a one needs the flag again whenever
    its checkpoint is used."""
    backbone_weights: str = setting("")
    """'imagenet' (downloaded by Keras), 'pretrained' (what the backbone itself brings), a weights file, or empty for
    random ones."""
    trained_convolutions: int | None = setting(None, at_least=0)
    """Train only the last so many convolutions of the backbone: what stands before them stays as --backbone-weights or
    --init-path have it; none: all."""
    proc_side: int = setting(128, of_weights=True)
    """Side of the square crop, px."""
    depth: int = setting(8, above=0, of_weights=True)
    """Depth cells of the volumetric heatmap."""
    box_size_mm: float = setting(2200.0, above=0, of_weights=True)
    """Side of the cube that the volumetric heatmap spans, mm."""
    centered_stride: bool = setting(True, of_weights=True)
    """Centre the receptive fields of the heatmap cells in the crop."""
    weak_perspective: bool = setting(False)
    """Reconstruct absolute poses with the weak perspective model at test time."""
    mix_3d_inside_fov: float = setting(0.5, at_least=0, at_most=1)
    """Share of the 3D head in the absolute pose of joints inside the picture, at test time."""
    ghost_bn: int = setting(16, at_least=0)
    """Group size of ghost batch normalization; 0: ordinary batch normalization."""
    batch_norm_momentum: float = setting(0.9, at_least=0, at_most=1)
    """Momentum of the batch normalization statistics."""
    constrain_kernel_norm: float = setting(20.0, above=0)
    """Largest norm of a convolution kernel per output channel; inf: no limit."""


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
