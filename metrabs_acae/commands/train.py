"""--train: from pose stores to a trained, evaluated and exported model. With --variant: fine-tuning."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from metrabs_acae.commands import evaluate, export, models, stores, warm_start
from metrabs_acae.config import FREE_ON_RESUME, Config
from metrabs_acae.data.mixture import Mixture
from metrabs_acae.errors import UserError
from metrabs_acae.flags import flags_of
from metrabs_acae.interruption import Interruption
from metrabs_acae.locks import held
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.models.variants import get_variant
from metrabs_acae.training.run_folder import RunFolder, choose

if TYPE_CHECKING:
    from metrabs_acae.training.distribution import Distribution


def run(config: Config) -> None:
    """Trains (or goes on training), then evaluates and exports, all in one run folder."""
    began = time.monotonic()
    from metrabs_acae.training import distribution

    config = stores.with_paper_stores(config)
    if config.files.init_path:
        models.find_run(config.files.init_path)
    with contextlib.ExitStack() as stack:
        with distribution.connected(config.devices):
            folder = run_folder(config)
            if not folder.silent:
                stack.enter_context(only_one(folder))
            mixture, used, pose_model, finished = train(config, folder, began)
        finish(config, folder, mixture, used, pose_model, finished, began)


def only_one(folder: RunFolder):
    """Keeps other processes from training in the folder; UserError names the one that does."""
    lock = folder.path.with_name(f".{folder.path.name}.lock")
    return held(lock, f"{folder.path} is being trained by {{holder}}; wait for it, or give --logdir a new folder.")


def finish(config: Config, folder: RunFolder, mixture: Mixture, used, pose_model, finished: bool, began: float) -> None:
    """Evaluates and exports a model that has been trained to the end."""
    import keras

    if not finished:
        folder.log("Stopped; the same command goes on from here.")
        raise KeyboardInterrupt
    if not used.is_first:
        return
    if used.engine is not None:  # from here on the first device is enough
        pose_model, _, _ = models.load_pose_model(folder)
    evaluate.evaluate_and_report(pose_model, mixture.skeleton, config, folder)
    exports = config.files.export_model and KINDS[config.model.model].is_absolute
    if exports:
        if keras.backend.backend() == "tensorflow":
            export.export_run(pose_model, mixture.skeleton, folder, folder.model, config)
        else:
            export_in_own_process(folder, config)
    folder.write_json("finished.json", {"seconds": round(time.monotonic() - began, 1)})
    folder.log(f"Done in {(time.monotonic() - began) / 60:.1f} minutes. Curves: {folder.curves_png}")
    if exports:
        boxes = " --boxes LEFT,TOP,WIDTH,HEIGHT" if config.export_settings.detector == "none" else ""
        folder.log(f"Try it: python -m metrabs_acae.main --demo PHOTO.jpg{boxes} --load-path {folder.path}")


def run_folder(config: Config) -> RunFolder:
    """The folder that the settings name, or that of an unfinished run of the same settings, or a new one."""
    from metrabs_acae.training import distribution

    settings = config.run_settings()
    variant = get_variant(config.model.variant)
    stem = f"{config.preset}-{variant.name}" if variant.needs_acae else config.preset
    others = {"defaults": Config().run_settings(), "free": FREE_ON_RESUME}
    if config.files.logdir:
        folder = RunFolder(config.files.logdir, silent=distribution.host_index() > 0)
    else:
        folder = choose(models.RUNS, stem, settings, **others)
    if folder.exists:
        folder.require_same_settings(settings, **others)
    return folder


def train(config: Config, folder: RunFolder, began: float):
    """(mixture, `Distribution`, pose model with its final weights, whether the last step was reached)."""
    import keras

    from metrabs_acae.training import distribution
    from metrabs_acae.training.compilation import set_precision

    training = config.training
    with distribution.first_host_first():  # it makes the embedded data if they are wanted and not there
        mixture = stores.training_mixture(
            config.data, data_dir=config.files.data_dir, seed=training.seed, merge_joints=config.model.merge_joints
        )
    said = stores.look_at_own(mixture, config.data)
    acae = warm_start.load_acae(config, folder, mixture.skeleton)
    evaluate.check_stores(config, stores.validation_stores(config.data, mixture))
    used = distribution.choose(
        config.devices,
        n_3d=mixture.batch_size_3d // training.grad_accum_steps,
        n_2d=mixture.batch_size_2d // training.grad_accum_steps,
        ghost_bn=config.model.ghost_bn,
        accum_steps=training.grad_accum_steps,
    )
    keras.utils.set_random_seed(training.seed)
    set_precision(training.dtype)
    with used.scope():
        pose_model, finished = train_on(used, config, folder, mixture, acae, said, began)
    return mixture, used, pose_model, finished


def export_in_own_process(folder: RunFolder, config: Config) -> None:
    """What --export does, which needs the TensorFlow backend; on the CPU, because this process holds the GPUs."""
    where = ["--load-path", str(folder.path), "--data-dir", config.files.data_dir]
    command = ["--export", *where, *flags_of(config.export_settings)]
    if ":" in config.model.backbone:
        command += ["--backbone", config.model.backbone]
    done = subprocess.run(
        [sys.executable, "-m", "metrabs_acae.main", *command],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("Error: ")
        raise UserError(f"The model is trained, but its export failed: {reason}")


def train_on(used: Distribution, config: Config, folder: RunFolder, mixture: Mixture, acae, said, began: float):
    """(pose model with its final weights, whether the last step was reached), from wherever the run folder stands."""
    from metrabs_acae.models.backbones.freezing import describe_frozen
    from metrabs_acae.training import checkpoints

    settings, training = config.run_settings(), config.training
    weights = "" if config.files.init_path else None
    stores_3d = [entry.store for entry in mixture.entries if entry.store.kind == "3d"]
    bones = models.bones_of(config.model, folder, mixture.skeleton, stores_3d)
    pose_model = models.build_pose_model(config.model, mixture.skeleton, weights=weights, acae=acae, bones=bones)
    if not folder.exists:  # everything that can be wrong with the settings has been found by now
        warm_start.check(config)
        files = {"skeleton.json": lambda path: folder.write_json(path.name, mixture.skeleton.to_dict())}
        if acae is not None:
            files[models.ACAE_FILE] = acae.save
        if bones is not None:
            files[models.BONES_FILE] = bones.save
        folder.create(settings, files)
    folder.log(f"Run folder: {folder.path}")
    if fixed := describe_frozen(pose_model.backbone):
        folder.log(fixed)
    if used.is_first:
        print(mixture.describe(training.training_steps), flush=True)
    for line in said:
        folder.log(line)
    if used.note:
        folder.log(used.note)
    if used.engine is not None:
        folder.log(f"Training on {used.n_devices} devices ({used.kind}).")
    if config.files.init_path and not checkpoints.list_checkpoints(folder.checkpoints):
        encoded = config.model.latent_start == "encoder"
        for line in warm_start.initialize(pose_model, config.files.init_path, stores_3d, encoded_latents=encoded):
            folder.log(line)
    finished = fit(config, folder, mixture, pose_model, used, began)
    used.any_host(True)  # all wait here until the first host has written its checkpoint
    if finished and used.engine is None:
        checkpoints.restore_weights(folder.checkpoints, pose_model)  # the moving average, where there is one
    return pose_model, finished


def fit(config: Config, folder: RunFolder, mixture: Mixture, pose_model, used: Distribution, began: float) -> bool:
    """Trains to the last step, from the newest checkpoint if there is one; False if stopped before."""
    from metrabs_acae.data import pipeline
    from metrabs_acae.training import callbacks as cb
    from metrabs_acae.training import checkpoints, trainer
    from metrabs_acae.training.compilation import compiled_training_model
    from metrabs_acae.training.optimizers import learning_rates
    from metrabs_acae.training.stall import StallWatch
    from metrabs_acae.visualization.curves import plot_curves

    training = config.training
    model, schedule = compiled_training_model(
        pose_model, mixture, training=training, losses=config.losses, gates=config.gates, used=used
    )
    start = checkpoints.restore_newest(folder.checkpoints, model, report=folder.log)
    used.require_same(start, "the step of the newest checkpoint")
    if start:
        folder.log(f"Going on from step {start}.")
    if start >= training.training_steps:
        return True
    datasets = []

    def make_dataset(step: int):
        datasets.append(
            pipeline.training_dataset(
                mixture,
                image_size=config.model.proc_side,
                start_step=step,
                augmentations=config.augmentation.in_order(),
                workers=config.data.workers,
                max_bad_fraction=config.data.max_bad_fraction,
                dealing=used.dealing(training.grad_accum_steps),
            )
        )
        return used.distribute(datasets[-1])

    validator = evaluate.Validator(pose_model, mixture, config, folder)
    input_cost = cb.InputCost(lambda: datasets[-1].meter)
    log = cb.MetricsLog(
        folder,
        total_steps=training.training_steps,
        images_per_step=mixture.batch_size,
        learning_rate=lambda step: float(schedule(step)),
        began=began,
        extra_columns=tuple(f"val_{name}" for name in validator.names),
        extra=lambda: {
            "bad_examples": sum(dataset.health.n_bad for dataset in datasets),
            **input_cost.since_last_call(),
            **{k: rate for k, rate in learning_rates(model.optimizer).items() if k == "learning_rate_backbone"},
        },
        plot=plot_curves,
    )
    saver = cb.Checkpoints(
        folder.checkpoints,
        period=training.checkpoint_period,
        total_steps=training.training_steps,
        switch=trainer.switch_step(training.training_steps, model.gates.inference_mode_steps),
    )
    # The log comes before the checkpoint: a resumed run drops later rows, but cannot make up for missing ones.
    writers = [log, saver] if used.is_first else []
    watch = StallWatch(folder.log, exit_after_minutes=training.stall_exit_minutes)
    with Interruption() as interruption, watch:
        try:
            return trainer.run_training(
                model,
                make_dataset,
                total_steps=training.training_steps,
                inference_mode_steps=model.gates.inference_mode_steps,
                log_period=min(training.log_period, training.validate_period, training.checkpoint_period),
                callbacks=[
                    cb.OrderlyStop(interruption, used.any_host if used.n_hosts > 1 else None),
                    watch,
                    input_cost,
                    cb.FiniteLoss(),
                    cb.Validation(validator, period=training.validate_period, total_steps=training.training_steps),
                    *writers,
                ],
            )
        finally:
            log.close()
