"""The steps that experiments are put together from. Equal settings give the same step, so that experiments share it."""

from __future__ import annotations

from experiments.scales import Scale
from experiments.steps import Step

CENTER_LATENTS = {4: 2, 8: 2, 16: 4, 32: 8, 48: 8, 64: 8}
"""Number of latents -> how many of them lie on the symmetry plane (48: the paper's)."""
PAPER_WEIGHTS, PAPER_SPACE = "affine", "image"


def data(scale: Scale) -> tuple[Step, ...]:
    """The embedded data, where the scale uses them."""
    if not scale.synthetic_size:
        return ()
    return (Step("data", "data", 0, (scale.synthetic_size, "{stores}"), "{stores}", (), scale.costs.data_s),)


def train(scale: Scale, seed: int, mixture: str = "full", *, steps: int | None = None, merged: bool = False) -> Step:
    """A model of separate heads (or of merged joints) from the first step on."""
    steps, default = steps or scale.training_steps, scale.training_steps
    name = f"train-{'merged' if merged else mixture}{'' if steps == default else f'-{steps}'}-s{seed}"
    arguments = (
        "--train",
        *scale.training_flags,
        *("--dataset3d", *(f"{{stores}}/{store}:{count}" for store, count in scale.mixtures[mixture])),
        *("--dataset2d", *(f"{{stores}}/{store}:{count}" for store, count in scale.mixture_2d)),
        *(("--merge-joints",) if merged else ()),
        *_training(scale, name, seed, mixture, steps),
    )
    return Step(name, "train", seed, arguments, f"{{work}}/{name}", data(scale), _training_cost(scale, mixture, steps))


def poses(scale: Scale, seed: int) -> Step:
    """Pseudo-labels of the full mixture's model."""
    model = train(scale, seed)
    output = f"{{work}}/poses-s{seed}.npz"
    on = ("--pseudo-label-on", *scale.pseudo_labels_on) if scale.pseudo_labels_on else ()
    arguments = ("--pseudo-labels", "--load-path", model.output, "--poses-file", output, *on)
    cost = scale.costs.start_s + 2 * scale.pseudo_label_images / scale.costs.predict_images_per_s
    return Step(f"poses-s{seed}", "poses", seed, arguments, output, (model,), cost)


def fit(
    scale: Scale,
    seed: int,
    *,
    latents: int | None = None,
    weights: str = PAPER_WEIGHTS,
    space: str = PAPER_SPACE,
    chiral: bool = True,
) -> Step:
    """An autoencoder fitted to the pseudo-labels; by default with the paper's settings."""
    latents, made_from = latents or scale.n_latents, poses(scale, seed)
    name = f"acae-{latents}-{weights}-{space}{'' if chiral else '-notchiral'}-s{seed}"
    output = f"{{work}}/{name}.npz"
    arguments = (
        *("--train-acae", "--poses-file", made_from.output, "--acae", output, "--seed", str(seed)),
        *("--n-latents", str(latents), "--n-center-latents", str(CENTER_LATENTS[latents])),
        *("--acae-weights", weights, "--acae-loss-space", space, "--chiral" if chiral else "--no-chiral"),
        *scale.acae_flags,
    )
    return Step(name, "fit", seed, arguments, output, (made_from,), scale.costs.fit_s + scale.costs.start_s / 2)


def finetune(
    scale: Scale,
    seed: int,
    variant: str,
    acae: Step | None = None,
    *,
    steps: int | None = None,
    control: bool = False,
    latent_start: str = "random",
) -> Step:
    """Fine-tuning of the full mixture's model with an autoencoder (default: the paper's kind).

    `control`: the same fine-tuning without the autoencoder having a say (its loss has weight 0).
    `latent_start`: of the latents' heatmaps; the paper's are random.
    """
    model, acae = train(scale, seed), acae or fit(scale, seed)
    steps, default = steps or scale.finetuning_steps, scale.finetuning_steps
    kind = acae.name.removesuffix(f"-s{seed}").removeprefix("acae-")
    paper_kind = f"{scale.n_latents}-{PAPER_WEIGHTS}-{PAPER_SPACE}"
    name = "control" if control else variant
    name += "" if latent_start == "random" else f"-from-{latent_start}"
    name += ("" if kind == paper_kind else f"-{kind}") + ("" if steps == default else f"-{steps}") + f"-s{seed}"
    arguments = (
        *("--train", "--variant", variant, "--acae", acae.output, "--init-path", model.output),
        *(("--loss-manif-factor", "0") if control else ()),
        *(() if latent_start == "random" else ("--latent-start", latent_start)),
        *_training(scale, name, seed, "full", steps),
    )
    return Step(name, "train", seed, arguments, f"{{work}}/{name}", (model, acae), _training_cost(scale, "full", steps))


def score(scale: Scale, model: Step, protocol: str) -> Step:
    """A model's predictions of a benchmark, scored by the benchmark's protocol."""
    store = f"{{stores}}/{scale.benchmarks[protocol]}:test"
    name = f"{protocol}-of-{model.name}"
    output = f"{{work}}/predictions/{name}.npz"
    predict = Step(
        f"predict-{name}",
        "predict",
        model.seed,
        (
            *("--predict", store, "--protocol", protocol, "--load-path", model.output, "--predictions", output),
            *scale.predict_flags,
        ),
        output,
        (model,),
        scale.costs.start_s + scale.test_images / scale.costs.predict_images_per_s * 5,
    )
    options = scale.protocol_options.get(protocol, ())
    arguments = (
        *("--evaluate", output, "--protocol", protocol, "--truth", store),
        *(("--protocol-options", *options) if options else ()),
    )
    return Step(f"score-{name}", "score", model.seed, arguments, output.removesuffix(".npz"), (predict,), 10.0)


def inconsistency(scale: Scale, model: Step) -> Step:
    """How far a model's skeletons are apart, joint by joint, on the store that has all joints."""
    arguments = (model.output, f"{{stores}}/{scale.all_joints_store}")
    cost = scale.costs.start_s + scale.test_images / scale.costs.predict_images_per_s
    return Step(f"inconsistency-of-{model.name}", "inconsistency", model.seed, arguments, "", (model,), cost)


def _training(scale: Scale, name: str, seed: int, mixture: str, steps: int) -> tuple[str, ...]:
    """Flags of every training. Short ones validate and save at their end only."""
    validate, save = (steps // 4, steps // 16) if steps >= 100 else (steps, steps)
    return (
        *("--test-on", *(f"{{stores}}/{store}" for store in scale.tests[mixture])),
        *("--training-steps", str(steps), "--seed", str(seed), "--logdir", f"{{work}}/{name}", "--no-export-model"),
        *("--validate-period", str(validate), "--checkpoint-period", str(save)),
    )


def _training_cost(scale: Scale, mixture: str, steps: int) -> float:
    costs = scale.costs
    return steps * scale.batch(mixture) / costs.train_images_per_s + costs.start_s + costs.evaluation_s
