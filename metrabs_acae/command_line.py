"""From the command line to settings: presets, parsing, and the checks that come before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import itertools

from metrabs_acae.config import Config, flag_of, store_and_count
from metrabs_acae.errors import UserError
from metrabs_acae.models.variants import VARIANTS, get_variant
from metrabs_acae.training.run_folder import RunFolder

_TRAINING = ("train", "show_batches")
_OF_A_RUN = ("pseudo_labels", "train_acae", "predict", "evaluate", "export", "demo")
_OF_FILES = "evaluate FILE"  # which has other settings than the evaluation of a run
USED_BY: dict[str, tuple[str, ...]] = {
    "files": _TRAINING,
    "load_path": _OF_A_RUN,
    "logdir": ("train",),
    "init_path": ("train",),
    "export_model": ("train",),
    "poses_file": ("pseudo_labels", "train_acae"),
    "acae": ("train", "train_acae", "export"),
    "export_file": ("export",),
    "out_dir": ("demo", "show_batches"),
    "data_dir": (*_TRAINING, "pseudo_labels", "evaluate", "export"),
    "data": _TRAINING,
    "test_on": ("train", "evaluate"),
    "test_time_mirror_aug": ("train", "evaluate"),
    "batch_size_test": ("train", "pseudo_labels", "evaluate"),
    "workers": (*_TRAINING, "pseudo_labels"),
    "max_bad_fraction": ("train", "predict"),
    "augmentation": _TRAINING,
    "model": _TRAINING,
    "training": _TRAINING,
    "seed": (*_TRAINING, "train_acae"),
    "devices": ("train",),
    "export_settings": ("train", "export"),
    "pseudo_label_settings": ("pseudo_labels",),
    "acae_settings": ("train_acae",),
    "demo_settings": ("demo",),
    "num_aug": ("demo", "predict"),
    "benchmark": (_OF_FILES,),
    "protocol": ("predict", _OF_FILES),
    "predictions": ("predict",),
    "boxes_from": ("predict",),
    "real_intrinsics": ("predict",),
}
"""The verbs that use a section of the settings; of settings that other verbs use than their section, these."""


def _presets() -> dict[str, tuple[str, dict[str, dict]]]:
    """Name -> (one line of help, settings that differ from the dataclasses' defaults)."""
    # From random weights and in so few steps a network learns most from plain crops: little augmentation.
    plain = dict(color_aug=False, background_aug_prob=0.0, occlude_aug_prob=0.0, occlude_aug_prob_2d=0.0)
    plain |= dict(rot_aug=5.0, scale_aug_up=5.0, scale_aug_down=5.0, shift_aug=3.0)
    return {
        "default": (
            "a first model on the embedded data, minutes on two cores",
            {
                "training": dict(training_steps=2800, validate_period=1400, checkpoint_period=500),
                "augmentation": plain,
            },
        ),
        "one-hour": (
            "a better model on the embedded data, an hour on two cores",
            {
                "data": dict(synthetic_size="medium", synthetic_mixture="focused", batch_size=30, batch_size_2d=2),
                "model": dict(proc_side=160),
                "training": dict(
                    training_steps=13_000,
                    finetune_in_inference_mode=900,
                    validate_period=4000,
                    checkpoint_period=1000,
                ),
                "augmentation": plain,
            },
        ),
        "tiny": (
            "every step once, for tests",
            {
                "data": dict(synthetic_size="tiny", batch_size=10, batch_size_2d=2, batch_size_test=16),
                "training": dict(training_steps=8, validate_period=4, checkpoint_period=2, log_period=2),
                "model": dict(proc_side=64, ghost_bn=4),
            },
        ),
        "paper": (
            "WACV 2023: 400k steps of 96 + 32 crops of 256 px, EfficientNetV2-S from ImageNet, on --dataset3d",
            _paper_settings(),
        ),
        **{
            f"paper-{size}": (
                f"the same on the paper's {n} 3D and 4 2D datasets, pose stores in --data-dir",
                {**_paper_settings(), "files": dict(data_dir="pose-stores")},
            )
            for size, n in (("full", 28), ("medium", 14), ("small", 3))
        },
    }


def _paper_settings() -> dict[str, dict]:
    return {
        "data": dict(batch_size=96, batch_size_2d=32),
        "model": dict(backbone="efficientnetv2-s", backbone_weights="imagenet", proc_side=256),
        "training": dict(
            training_steps=400_000,
            base_learning_rate=2.121e-4,
            dtype="float16",
            finetune_in_inference_mode=1000,
            absloss_start_step=5000,
            validate_period=2000,
            checkpoint_period=2000,
            log_period=100,
        ),
        "acae_settings": dict(acae_weights="affine"),
    }


def preset_names() -> tuple[str, ...]:
    return tuple(_presets())


def preset(name: str) -> Config:
    """The settings of a preset; UserError lists the names."""
    presets = _presets()
    if name not in presets:
        raise UserError(f"There is no preset '{name}'; choose from {', '.join(presets)}.")
    sections = {
        section: dataclasses.replace(getattr(Config(), section), **changes)
        for section, changes in presets[name][1].items()
    }
    return Config(preset=name, **sections)


def parse_arguments(arguments: list[str], program: str) -> Config:
    """Settings from the command line. A wrong flag raises UserError; --help prints and exits."""
    import contextlib
    import io

    import tyro

    default = starting_values(arguments)
    described = "; ".join(f"{name}: {text}" for name, (text, _) in _presets().items())
    messages = io.StringIO()
    asks_help = any(a in ("-h", "--help") for a in arguments)
    try:
        with contextlib.nullcontext() if asks_help else contextlib.redirect_stderr(messages):
            config = tyro.cli(
                Config,
                args=arguments,
                prog=program,
                default=default,
                description=f"Train, evaluate, export and show 3D human pose models. Presets: {described}.",
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_sentence(messages.getvalue()) + " See --help.") from None
    _check_used(config, default)
    check(config)
    return config


def starting_values(arguments: list[str]) -> Config:
    """What the flags then change: a preset or, in a fine-tuning, the initial run with a tenth of its steps."""
    values = preset(_given(arguments, "--preset", "default"))
    run = RunFolder(_given(arguments, "--init-path", ""))
    if not (_given(arguments, "--acae", "") and run.exists):
        return values
    values = values.with_run_settings(run.read_json("config.json"), run.path / "config.json")
    steps = values.training.training_steps
    training = dataclasses.replace(
        values.training,
        training_steps=max(1, steps // 10),
        decay_steps=values.training.decay_steps or steps,
    )
    return dataclasses.replace(values, training=training)


def with_paper_stores(config: Config) -> Config:
    """Names the stores of the presets paper-full, -medium and -small one by one, unless the user has named others."""
    size = config.preset.removeprefix("paper-")
    used = config.verbs.train or config.verbs.show_batches
    if size == config.preset or not used or config.data.dataset3d:
        return config
    from metrabs_acae.data.paper_mixtures import find_stores

    n_devices = int(config.devices.devices) if config.devices.devices.isdigit() else 1
    found = find_stores(
        size,
        config.files.data_dir,
        n_parts=config.training.grad_accum_steps * max(1, n_devices) * (config.devices.n_hosts or 1),
        allow_missing=config.files.allow_missing_stores,
    )
    data = dataclasses.replace(
        config.data,
        dataset3d=found.dataset3d,
        dataset2d=config.data.dataset2d or found.dataset2d,
        test_on=config.data.test_on or found.test_on,
    )
    return dataclasses.replace(config, data=data)


def _given(arguments: list[str], flag: str, default: str) -> str:
    """The value of a flag before anything else is parsed: what decides the other flags' starting values."""
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == flag:
            return value if equals else following
    return default


def _one_sentence(message: str) -> str:
    """What stands under the title of a framed parser message, up to the next rule."""
    lines = [line.strip(" │|╭╮╰╯") for line in message.splitlines()]
    filled = [bool(line.strip(" ─-")) for line in lines]
    title = filled.index(True) if any(filled) else len(lines)
    after = itertools.dropwhile(lambda i: not filled[i], range(title + 1, len(lines)))
    text = " ".join(lines[i] for i in itertools.takewhile(lambda i: filled[i], after))
    return (text or "The arguments could not be read").rstrip(".") + "."


def check(config: Config) -> None:
    """Raises UserError for values and combinations that cannot work, before anything heavy is loaded."""
    verbs, model, training, data = config.verbs, config.model, config.training, config.data
    acae = config.acae_settings
    stride = 32
    if model.proc_side < 2 * stride or model.proc_side % stride:
        raise UserError(f"--proc-side must be a multiple of {stride} and at least {2 * stride}; got {model.proc_side}.")
    positive = {
        "--training-steps": training.training_steps,
        "--batch-size": data.batch_size,
        "--batch-size-test": data.batch_size_test,
        "--depth": model.depth,
        "--box-size-mm": model.box_size_mm,
        "--base-learning-rate": training.base_learning_rate,
        "--grad-accum-steps": training.grad_accum_steps,
        "--validate-period": training.validate_period,
        "--checkpoint-period": training.checkpoint_period,
        "--log-period": training.log_period,
        "--loss-scale": training.loss_scale,
        "--constrain-kernel-norm": model.constrain_kernel_norm,
        "--num-aug": 1 if config.demo_settings.num_aug is None else config.demo_settings.num_aug,
        "--frames-per-batch": config.demo_settings.frames_per_batch,
        "--crop-batch-size": config.export_settings.crop_batch_size,
        "--decay-steps": training.decay_steps or training.training_steps,
        "--n-latents": acae.n_latents,
        "--head-weight": acae.head_weight,
        "--acae-steps": acae.acae_steps,
        "--acae-batch-size": acae.acae_batch_size,
        "--n-restarts": acae.n_restarts,
    }
    for flag, value in positive.items():
        if not value > 0:
            raise UserError(f"{flag} must be greater than zero; got {value}.")
    for flag, value in {
        "--batch-size-2d": data.batch_size_2d,
        "--ghost-bn": model.ghost_bn,
        "--weight-decay": training.weight_decay,
        "--finetune-in-inference-mode": training.finetune_in_inference_mode or 0,
        "--rot-aug": config.augmentation.rot_aug,
        "--shift-aug": config.augmentation.shift_aug,
        "--scale-aug-up": config.augmentation.scale_aug_up,
        "--loss-manif-factor": training.loss_manif_factor,
        "--loss-manif-factor2d": training.loss_manif_factor2d,
        "--teacher-loss-factor": training.teacher_loss_factor,
        "--allhead-aegt-loss-factor": training.allhead_aegt_loss_factor or 0,
        "--n-center-latents": acae.n_center_latents,
        "--sparsity": acae.sparsity,
        "--weight-threshold": acae.weight_threshold,
        "--max-frames": config.demo_settings.max_frames,
    }.items():
        if not value >= 0:
            raise UserError(f"{flag} must not be negative; got {value}.")
    fractions = {
        "--max-bad-fraction": data.max_bad_fraction,
        "--mix-3d-inside-fov": model.mix_3d_inside_fov,
        "--batch-norm-momentum": model.batch_norm_momentum,
        "--ema-momentum": training.ema_momentum,
        "--min-auc": config.pseudo_label_settings.min_auc,
        "--detector-threshold": config.demo_settings.detector_threshold,
        "--detector-nms-iou-threshold": config.demo_settings.detector_nms_iou_threshold,
        **{
            flag_of(name): getattr(config.augmentation, name)
            for name in (
                "full_rot_aug_prob",
                "partial_visibility_prob",
                "occlude_aug_prob",
                "occlude_aug_prob_2d",
                "background_aug_prob",
            )
        },
    }
    for flag, value in fractions.items():
        if not 0 <= value <= 1:
            raise UserError(f"{flag} must lie between 0 and 1; got {value}.")
    if not 0 <= config.augmentation.scale_aug_down < 100:
        raise UserError(f"--scale-aug-down must be at least 0 and below 100; got {config.augmentation.scale_aug_down}.")
    if not 0 < config.demo_settings.fov < 180:
        raise UserError(f"--fov must lie between 0 and 180 degrees; got {config.demo_settings.fov}.")
    if training.dynamic_loss_scale and training.dtype != "float16":
        raise UserError("--dynamic-loss-scale needs --dtype float16.")
    for path in [*data.dataset3d, *data.dataset2d]:
        store_and_count(path)
    devices = config.devices
    if devices.distribution != "multi-host" and (devices.coordinator or devices.n_hosts or devices.host_index):
        raise UserError("--coordinator, --n-hosts and --host-index need --distribution multi-host.")
    if devices.distribution == "multi-host" and not config.files.logdir:
        raise UserError("--distribution multi-host needs --logdir, a folder that all hosts share.")
    if verbs.train:
        _check_variant(config)


def _check_used(config: Config, default: Config) -> None:
    """Raises UserError if there is not just one verb, or a setting was given that the verb does not use."""
    verb = config.verbs.chosen
    if config.verbs.evaluate:
        verb = _OF_FILES
    for section in (f.name for f in dataclasses.fields(config) if f.name in USED_BY):
        given, before = getattr(config, section), getattr(default, section)
        for field in dataclasses.fields(given):
            verbs = USED_BY.get(field.name, USED_BY[section])
            if verb not in verbs and getattr(given, field.name) != getattr(before, field.name):
                names = " and ".join(map(flag_of, verbs))
                raise UserError(f"{flag_of(field.name)} is a setting of {names}; {flag_of(verb)} does not use it.")


def _check_variant(config: Config) -> None:
    model, files = config.model, config.files
    variant = get_variant(model.variant)
    if files.acae and not variant.needs_acae:
        needing = [v.name for v in VARIANTS.values() if v.needs_acae]
        raise UserError(f"--acae needs --variant {', '.join(needing[:-1])} or {needing[-1]}.")
    if variant.needs_acae and not files.acae:
        raise UserError(f"--variant {variant.name} needs --acae FILE, which --train-acae makes.")
    if variant.learning_rates == "finetune" and not files.init_path:
        raise UserError(f"--variant {variant.name} needs --init-path RUN, the run of the model to fine-tune.")
    if variant.needs_acae and model.merge_joints:
        raise UserError(f"--variant {variant.name} and merged joints exclude each other: give only one of them.")
