"""Checkpoints: every variable of a training and the step it stands at, written so that a kill never leaves half of one.

A checkpoint is a folder `ckpt-00001234` with `variables.npz` (arrays by name), written under a temporary name and
renamed. It holds what the bit-exact continuation needs: weights, batch normalization statistics, seed generators,
step counter and optimizer state. Metrics are left out: they start anew at every log row. Where the optimizer keeps a
moving average of the weights, the averages also stand under `average/`, for whoever wants only the model.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.training import packed

_FOLDER = re.compile(r"ckpt-(\d{8})(-\w+)?")
_UNNAMED_SEED = re.compile(r"seed_generator(_\d+)?/seed_generator_state")


def checkpoint_variables(training_model) -> dict[str, object]:
    """All state of a training model and its optimizer except metrics, by a name that is unique and stable."""
    metrics = {id(v) for metric in training_model.metrics for v in metric.variables}
    variables = [v for v in training_model.variables if id(v) not in metrics]
    _require_unique_paths(v for v in variables if not _UNNAMED_SEED.fullmatch(v.path))
    # Keras numbers the seeds of dropout layers by what else the process has built: here they count within the model.
    seeds = [v for v in variables if _UNNAMED_SEED.fullmatch(v.path)]
    number = {id(v): i for i, v in enumerate(seeds)}
    named = {f"model/{v.path}" if id(v) not in number else f"model/dropout_seed/{number[id(v)]}": v for v in variables}
    optimizer = training_model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    named.update({f"optimizer/{i:05d}": v for i, v in enumerate(inner.variables)})
    if inner is not optimizer:  # dynamic loss scaling has state of its own, which other precisions do without
        own = {id(v) for v in optimizer.variables} - {id(v) for v in inner.variables}
        named.update({f"loss_scale/{v.name}": v for v in optimizer.variables if id(v) in own})
    return named


def _require_unique_paths(variables) -> None:
    """UserError if two variables have one path, since a checkpoint would hold only one of them."""
    counts = Counter(v.path for v in variables)
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise UserError(
            f"Several variables of the model have one name, so a checkpoint cannot hold them: {', '.join(twice[:3])}; "
            "give the layers of the network names of their own."
        )


def array_of(variable) -> np.ndarray:
    """The value of a variable, also where replicas or devices each have their copy."""
    import keras  # here and below: listing checkpoints, as other programs do, needs no backend

    return np.array(keras.ops.convert_to_tensor(variable))


def save(folder: Path, step: int, training_model, *, keep: int = 2, tag: str = "") -> Path:
    """Writes the checkpoint of `step` into `folder`, then removes all untagged ones but the newest `keep`.

    One that is there already stays, unless it cannot be read: then it is replaced.
    """
    from metrabs_acae.training.optimizers import average_weights

    folder.mkdir(parents=True, exist_ok=True)
    _remove_temporaries(folder)
    target = folder / (f"ckpt-{step:08d}" + (f"-{tag}" if tag else ""))
    if not _is_readable(target):
        temporary = folder / f".{target.name}.tmp"
        temporary.mkdir()
        arrays = {n: array_of(v) for n, v in checkpoint_variables(training_model).items()}
        weights = training_model.trainable_variables
        for weight, average in zip(weights, average_weights(training_model.optimizer, weights), strict=True):
            if average is not weight:
                arrays[f"average/{weight.path}"] = array_of(average)
        with open(temporary / "variables.npz", "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.rmtree(target)
        os.rename(temporary, target)
    for old in [path for _, path in list_checkpoints(folder)][:-keep]:
        shutil.rmtree(old)
    return target


def list_checkpoints(folder: Path, *, tag: str = "") -> list[tuple[int, Path]]:
    """(step, path) of all checkpoints in `folder` with this tag, oldest first."""
    found = []
    for path in folder.glob("ckpt-*") if folder.is_dir() else ():
        match = _FOLDER.fullmatch(path.name)
        if match and (match[2] or "") == (f"-{tag}" if tag else ""):
            found.append((int(match[1]), path))
    return sorted(found)


def read(path: Path) -> dict[str, np.ndarray]:
    """Arrays of one checkpoint by variable name; UserError if it cannot be read."""
    try:
        if (path / packed.INDEX).exists():
            return packed.read(path)
        with np.load(path / "variables.npz", allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise UserError(f"The checkpoint {path} cannot be read ({error}).") from None


def read_newest(folder: Path, *, tag: str = "", report=print) -> tuple[int, Path, dict[str, np.ndarray]] | None:
    """(step, path, arrays) of the newest checkpoint that can be read; None if there is none.

    Those that cannot be read are named through `report` and passed over.
    """
    for step, path in reversed(list_checkpoints(folder, tag=tag)):
        try:
            return step, path, read(path)
        except UserError as error:
            report(f"{error} Passing over it.")
    return None


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint that can be read; UserError if there is none."""
    found = read_newest(folder, report=lambda line: None)
    if found is None:
        raise UserError(f"There is no readable checkpoint in {folder}; expected folders named ckpt-00001234.")
    return found[0]


def _is_readable(path: Path) -> bool:
    try:
        read(path)
    except UserError:
        return False
    return True


def restore_newest(folder: Path, training_model, *, report=print) -> int:
    """Loads the newest readable checkpoint of `folder` into the model; returns its step (0 if there is none)."""
    _remove_temporaries(folder)
    found = read_newest(folder, report=report)
    if found is None:
        return 0
    step, path, arrays = found
    assign(checkpoint_variables(training_model), with_blocks(arrays, training_model), path)
    return step


def with_blocks(arrays: dict[str, np.ndarray], model) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint for a model whose autoencoder is two layers. Older ones hold two matrices instead."""
    from metrabs_acae.layers import AffineCombination

    arrays = dict(arrays)
    for layer in model._flatten_layers():
        matrices = [name for name in arrays if name.endswith(f"/{layer.name}")]
        if isinstance(layer, AffineCombination) and matrices:
            for name, value in layer.blocks_of(arrays.pop(matrices[0])).items():
                arrays[f"model/{layer.blocks[name].path}"] = value
    return arrays


def assign(variables: dict[str, object], arrays: dict[str, np.ndarray], source: Path) -> None:
    """Sets every variable from the array of its name; UserError if names or shapes differ.

    The state of the dynamic loss scale may be missing or be of no use: then another precision goes on.
    """
    optional = ("average/", "loss_scale/")
    arrays = {n: a for n, a in arrays.items() if n in variables or not n.startswith(optional)}
    variables = {n: v for n, v in variables.items() if n in arrays or not n.startswith(optional)}
    missing = sorted(set(variables) - set(arrays))
    extra = sorted(set(arrays) - set(variables))
    if missing or extra:
        example = (missing or extra)[0]
        raise UserError(
            f"The checkpoint {source} belongs to another model: {len(missing)} variables are missing in it and "
            f"{len(extra)} are unknown here, e.g. {example}. Use the settings it was made with."
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise UserError(
                f"The checkpoint {source} belongs to another model: {name} has shape {arrays[name].shape}, "
                f"expected {tuple(variable.shape)}."
            )
    import keras

    for name, variable in variables.items():
        # Backends keep the state of random numbers in different integer types.
        variable.assign(arrays[name].astype(keras.backend.standardize_dtype(variable.dtype)))


def restore_weights(folder: Path, model, *, tag: str = "") -> int:
    """Loads only the weights of `model` (a part of the training model) from the newest readable checkpoint of `folder`.

    Where the training kept a moving average of the weights, the average is taken. Returns the step.
    """
    found = read_newest(folder, tag=tag)
    if found is None:
        raise UserError(f"There is no readable checkpoint in {folder}; expected folders named ckpt-00001234.")
    step, path, arrays = found
    arrays = with_blocks(arrays, model)
    by_path = {}
    for prefix in ("model/", "average/"):
        by_path.update({n.removeprefix(prefix): array for n, array in arrays.items() if n.startswith(prefix)})
    for variable in model.variables:
        if _UNNAMED_SEED.fullmatch(variable.path):
            continue
        if variable.path not in by_path or by_path[variable.path].shape != tuple(variable.shape):
            raise UserError(f"The checkpoint {path} belongs to another model: it has no fitting {variable.path}.")
        variable.assign(by_path[variable.path])
    return step


def weights_of(model) -> dict[str, np.ndarray]:
    """What `restore_weights` needs of a checkpoint."""
    return {f"model/{v.path}": array_of(v) for v in model.variables if not _UNNAMED_SEED.fullmatch(v.path)}


def _remove_temporaries(folder: Path) -> None:
    for leftover in folder.glob(".ckpt-*.tmp") if folder.is_dir() else ():
        shutil.rmtree(leftover)
