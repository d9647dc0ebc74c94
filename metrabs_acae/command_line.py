"""From the command line to settings: presets, parsing, and the checks that come before anything heavy is loaded."""

from __future__ import annotations

import itertools

from metrabs_acae.config import OF_A_RUN, OF_FILES, Config
from metrabs_acae.data.augmentation.augmentations import register_augmentation
from metrabs_acae.data.settings import store_and_count
from metrabs_acae.errors import UserError
from metrabs_acae.flags import parse
from metrabs_acae.models.backbones.registry import find_backbone
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.models.variants import VARIANTS, get_variant
from metrabs_acae.plugins import import_named
from metrabs_acae.presets import PRESETS
from metrabs_acae.settings import flag_of, leaves, with_values
from metrabs_acae.training.run_folder import folder_of


def preset(name: str) -> Config:
    """The settings of a preset; UserError lists the names."""
    if name not in PRESETS:
        raise UserError(f"There is no preset '{name}'; choose from {', '.join(PRESETS)}.")
    return with_values(Config(preset=name), PRESETS[name][1])


def parse_arguments(arguments: list[str], program: str) -> Config:
    """Settings from the command line. A wrong flag raises UserError; --help prints and exits."""
    default = starting_values(arguments)
    described = "; ".join(f"{name}: {text}" for name, (text, _) in PRESETS.items())
    description = f"Train, evaluate, export and show 3D human pose models. Presets: {described}."
    config = parse(Config, arguments, program, default=default, description=description)
    _check_used(config, default)
    import_named_augmentations(config, arguments)
    check(config)
    return config


def starting_values(arguments: list[str]) -> Config:
    """What the flags then change: a preset or, in a fine-tuning, the initial run with a tenth of its steps.

    With an initial run and no autoencoder, the preset with the run's network.
    """
    values = preset(_given(arguments, "--preset", "default"))
    initial = _given(arguments, "--init-path", "")
    run = folder_of(initial)
    if initial and run.exists:
        of_run = values.with_run_settings(run.read_json("config.json"), run.path / "config.json")
        if not _given(arguments, "--acae", ""):
            kept = {leaf.name: leaf.value for leaf in leaves(of_run) if leaf.of_weights}
            return with_values(values, {**kept, "trained_convolutions": of_run.model.trained_convolutions})
        steps = of_run.training.training_steps
        shorter = {"training_steps": max(1, steps // 10), "decay_steps": of_run.training.decay_steps or steps}
        return with_values(of_run, shorter)
    backbone = _given(arguments, "--backbone", values.model.backbone)
    if backbone != values.model.backbone and values.model.trained_convolutions is not None:
        # what the preset says of the start is about its own network
        values = with_values(values, {"backbone_weights": "", "trained_convolutions": None})
    return values


def _given(arguments: list[str], flag: str, default: str) -> str:
    """The value of a flag before anything else is parsed: what decides the other flags' starting values."""
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == flag:
            return value if equals else following
    return default


def import_named_augmentations(config: Config, arguments: list[str]) -> None:
    """Imports those from outside this project that this very command line names, never what only a file says."""
    words = {word for argument in arguments for word in (argument, argument.partition("=")[2])}
    for name in filter(words.__contains__, config.augmentation.others):
        register_augmentation(name, import_named(name, "--augmentation"))


def named_module(arguments: list[str], flag: str) -> str:
    """The MODULE:NAME that a flag gives on this very command line, the only place from which it is imported."""
    named = _given(arguments, flag, "")
    return named if ":" in named else ""


def check(config: Config) -> None:
    """Raises UserError for combinations of values that cannot work, before anything heavy is loaded."""
    model, training, data, devices = config.model, config.training, config.data, config.devices
    stride = 32
    if model.proc_side < 2 * stride or model.proc_side % stride:
        raise UserError(f"--proc-side must be a multiple of {stride} and at least {2 * stride}; got {model.proc_side}.")
    if training.dynamic_loss_scale and training.dtype != "float16":
        raise UserError("--dynamic-loss-scale needs --dtype float16.")
    if ":" not in model.backbone:
        find_backbone(model.backbone)
    from_weights = model.backbone_weights or config.files.init_path
    if config.verbs.train and model.trained_convolutions is not None and not from_weights:
        raise UserError("--trained-convolutions needs --backbone-weights or --init-path, not random weights.")
    for path in [*data.dataset3d, *data.dataset2d]:
        store_and_count(path)
    if devices.distribution != "multi-host" and (devices.coordinator or devices.n_hosts or devices.host_index):
        raise UserError("--coordinator, --n-hosts and --host-index need --distribution multi-host.")
    if devices.distribution == "multi-host" and not config.files.logdir:
        raise UserError("--distribution multi-host needs --logdir, a folder that all hosts share.")
    if config.verbs.train or config.verbs.show_batches:
        config.augmentation.in_order()
    if config.verbs.train:
        _check_variant(config)


def _check_used(config: Config, default: Config) -> None:
    """Raises UserError if there is not just one verb, or a setting was given that the verb does not use."""
    verb = OF_FILES if config.verbs.evaluate else config.verbs.chosen
    for name in ("backbone", "variant") if verb in OF_A_RUN else ():
        given = getattr(config.model, name)
        if given != getattr(default.model, name) and ":" not in given:
            raise UserError(f"The {name} of a run stands in its config.json: give --{name} only for MODULE:NAME.")
    for given, before in zip(leaves(config), leaves(default), strict=True):
        if given.used_by and verb not in given.used_by and given.value != before.value:
            names = " and ".join(map(flag_of, given.used_by))
            raise UserError(f"{flag_of(given.name)} is a setting of {names}; {flag_of(verb)} does not use it.")


def _check_variant(config: Config) -> None:
    model, files = config.model, config.files
    variant = get_variant(model.variant)
    if not KINDS[model.model].has_variants and (variant.needs_acae or files.init_path):
        raise UserError(
            f"--model {model.model} can neither have a --variant nor start from --init-path: leave them out."
        )
    if files.acae and not variant.needs_acae:
        needing = [v.name for v in VARIANTS.values() if v.needs_acae]
        raise UserError(f"--acae needs --variant {', '.join(needing[:-1])} or {needing[-1]}.")
    if variant.needs_acae and not files.acae:
        raise UserError(f"--variant {variant.name} needs --acae FILE, which --train-acae makes.")
    if model.latent_start != "random" and "latents" not in variant.points:
        raise UserError(f"--latent-start is for variants that predict latents, which {variant.name} does not.")
    if variant.learning_rates == "finetune" and not files.init_path:
        raise UserError(f"--variant {variant.name} needs --init-path RUN, the run of the model to fine-tune.")
    if variant.needs_acae and model.merge_joints:
        raise UserError(f"--variant {variant.name} and merged joints exclude each other: give only one of them.")
