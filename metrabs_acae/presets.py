"""Starting values by name: what differs from the defaults, each setting by its own name."""

from __future__ import annotations

# In so few steps a network learns most from plain crops: little augmentation.
_PLAIN = {
    "color_aug": False,
    "background_aug_prob": 0.0,
    "occlude_aug_prob": 0.0,
    "occlude_aug_prob_2d": 0.0,
    "rot_aug": 5.0,
    "scale_aug_up": 5.0,
    "scale_aug_down": 5.0,
    "shift_aug": 3.0,
}
_PAPER = {
    "batch_size": 96,
    "batch_size_2d": 32,
    "backbone": "efficientnetv2-s",
    "backbone_weights": "imagenet",
    "proc_side": 256,
    "training_steps": 400_000,
    "base_learning_rate": 2.121e-4,
    "dtype": "float16",
    "finetune_in_inference_mode": 1000,
    "absloss_start_step": 5000,
    "validate_period": 2000,
    "checkpoint_period": 2000,
    "log_period": 100,
    "acae_weights": "affine",
}
PRESETS: dict[str, tuple[str, dict]] = {
    "default": (
        "a first model, from a network that has seen real people, minutes on two cores",
        {
            "backbone": "blazepose-full-multiscale",
            "backbone_weights": "pretrained",
            "trained_convolutions": 30,
            "proc_side": 192,
            "training_steps": 1500,
            "base_learning_rate": 1.5e-3,
            "validate_period": 750,
            "checkpoint_period": 250,
            **_PLAIN,
        },
    ),
    "random-start": (
        "the default's data and time, from random weights",
        {"training_steps": 2800, "validate_period": 1400, "checkpoint_period": 500, **_PLAIN},
    ),
    "one-hour": (
        "longer on more of the embedded data, from random weights, an hour on two cores",
        {
            "synthetic_size": "medium",
            "synthetic_mixture": "focused",
            "batch_size": 30,
            "batch_size_2d": 2,
            "proc_side": 160,
            "training_steps": 13_000,
            "finetune_in_inference_mode": 900,
            "validate_period": 4000,
            "checkpoint_period": 1000,
            **_PLAIN,
        },
    ),
    "tiny": (
        "every step once, for tests",
        {
            "synthetic_size": "tiny",
            "batch_size": 10,
            "batch_size_2d": 2,
            "batch_size_test": 16,
            "training_steps": 8,
            "validate_period": 4,
            "checkpoint_period": 2,
            "log_period": 2,
            "proc_side": 64,
            "ghost_bn": 4,
        },
    ),
    "paper": (
        "WACV 2023: 400k steps of 96 + 32 crops of 256 px, EfficientNetV2-S from ImageNet, on --dataset3d",
        _PAPER,
    ),
    **{
        f"paper-{size}": (
            f"the same on the paper's {n} 3D and 4 2D datasets, pose stores in --data-dir",
            {**_PAPER, "data_dir": "pose-stores"},
        )
        for size, n in (("full", 28), ("medium", 14), ("small", 3))
    },
}
"""Name -> (a line of help, {setting: value})."""
