"""All settings of the program `metrabs_acae.main`, put together from those of its parts.

Names and meanings of flags follow the reference's program where it has them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from metrabs_acae.acae.settings import AcaeFit, PseudoLabels
from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.settings import Data
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.settings import Benchmark
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.export_settings import Export
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.settings import LossWeights, NetworkSettings
from metrabs_acae.settings import flag_of, leaves, section, setting, settings, with_values
from metrabs_acae.training.run_folder import by_name
from metrabs_acae.training.settings import Devices, Training

TRAINING = ("train", "show_batches")
OF_A_RUN = ("pseudo_labels", "train_acae", "predict", "evaluate", "export", "pack", "demo")
OF_FILES = "evaluate FILE"
"""The verb with prediction files, which has other settings than the evaluation of a run."""


@settings
class Verbs:
    """What to do: exactly one of these."""

    train: bool = setting(False)
    """Train a model, then evaluate and export it. Goes on with an unfinished run of the same settings."""
    pseudo_labels: bool = setting(False)
    """Predict all joints of many examples with the model of --load-path and write them to --poses-file."""
    train_acae: bool = setting(False)
    """Fit an affine-combining autoencoder to --poses-file and write it, with a report, to --acae."""
    predict: str = setting("")
    """Predict the people of a benchmark, a pose store as STORE or STORE:SPLIT (test if not given), with the model of
    --load-path (a run folder or a SavedModel), in the way of --protocol, and write them to --predictions."""
    evaluate: tuple[str, ...] | None = setting(None)
    """Score prediction files by --protocol; without a file, the model of --load-path on all its test stores."""
    export: bool = setting(False)
    """Write the model of --load-path as a SavedModel to --export-file."""
    pack: str = setting("")
    """Write the run of --load-path, weights in 16 bits, as a small run folder without the state of training."""
    demo: tuple[str, ...] = setting(())
    """Draw the poses in these photographs, videos, folders of them, webcams (by number) or a video on a pipe (-) with
    the model of --load-path (a run folder or a SavedModel)."""
    show_batches: int = setting(0)
    """Draw this many training batches with their joints, then stop: the first look at new data."""

    @property
    def chosen(self) -> str:
        """The field name of the one verb given; UserError if there is none or more than one."""
        given = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        if len(given) != 1:
            flags = ", ".join(flag_of(f.name) for f in dataclasses.fields(self))
            raise UserError(f"Give exactly one of {flags}; got {' and '.join(map(flag_of, given)) or 'none'}.")
        return given[0]


@settings
class Files:
    """Where things are read and written."""

    logdir: str = setting("", used_by=("train",))
    """Run folder of --train; empty: the unfinished or else a new runs/PRESET-NUMBER."""
    load_path: str = setting("", used_by=OF_A_RUN)
    """Run folder (for --demo and --predict also a SavedModel folder) to use, or 'pretrained', the model that is
    installed with the project; empty: the newest finished run in runs/."""
    init_path: str = setting("", used_by=("train",), stored=True)
    """Run folder, or 'pretrained', whose weights a new training starts from. With --acae its settings are the starting
    values too."""
    poses_file: str = setting("", used_by=("pseudo_labels", "train_acae"))
    """Pose file (.npz or .h5) of --pseudo-labels and --train-acae; empty: poses.npz in the run folder."""
    acae: str = setting("", used_by=("train", "train_acae", "export"), stored=True)
    """Autoencoder that --train-acae writes (empty: acae.npz beside the poses) and --train with a --variant needs;
    with --export, one to pass the model's poses through."""
    export_file: str = setting("", used_by=("export",))
    """Folder that --export writes; empty: model/ inside the run folder."""
    out_dir: str = setting("demo", used_by=("demo", "show_batches"))
    """Folder for the pictures of --demo and --show-batches."""
    data_dir: str = setting("synthetic-data", used_by=(*TRAINING, "pseudo_labels", "evaluate", "export", "pack"))
    """Folder of the embedded synthetic stores, made at first use; of the presets paper-full, -medium and -small: the
    folder of their pose stores, which are named like the datasets."""
    allow_missing_stores: bool = setting(False)
    """Train without the pose stores of these presets that are missing; the others take their places in the batch."""
    export_model: bool = setting(True, used_by=("train",))
    """Write the SavedModel when a training ends."""


@settings
class Config:
    """All settings of one call of the program."""

    verbs: Verbs = section(Verbs)
    files: Files = section(Files, used_by=TRAINING)
    data: Data = section(Data, used_by=TRAINING, stored=True)
    augmentation: Augmentations = section(Augmentations, used_by=TRAINING, stored=True)
    model: NetworkSettings = section(NetworkSettings, used_by=TRAINING, stored=True)
    training: Training = section(Training, used_by=TRAINING, stored=True)
    losses: LossWeights = section(LossWeights, used_by=TRAINING, stored=True)
    gates: Gates = section(Gates, used_by=TRAINING, stored=True)
    devices: Devices = section(Devices, used_by=("train",))
    export_settings: Export = section(Export, used_by=("train", "export"))
    demo_settings: Demo = section(Demo, used_by=("demo",))
    pseudo_label_settings: PseudoLabels = section(PseudoLabels, used_by=("pseudo_labels",))
    acae_settings: AcaeFit = section(AcaeFit, used_by=("train_acae",))
    benchmark: Benchmark = section(Benchmark, used_by=(OF_FILES,))
    preset: str = setting("default")
    """Starting values of all settings; see the README."""

    def run_settings(self) -> dict[str, dict]:
        """{section: {name: value}} of the settings that a run's config.json holds."""
        stored: dict[str, dict] = {}
        for leaf in leaves(self):
            if leaf.stored:
                stored.setdefault(leaf.sections[0].name, {})[leaf.name] = leaf.value
        return stored

    def with_run_settings(self, stored: dict, source: str | Path) -> Config:
        """These settings, but those that a run's config.json holds; UserError on unknown ones.

        Only the names count, so that a setting may have stood in another section when the run was begun.
        """
        if not isinstance(stored, dict):
            raise UserError(f"{source} should hold a JSON object of settings.")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in by_name(stored).items()}
        unknown = set(values) - {leaf.name for leaf in leaves(self) if leaf.stored}
        if unknown:
            raise UserError(f"{source} has settings of another version: {', '.join(sorted(unknown))}.")
        return with_values(self, values)


FREE_ON_RESUME = frozenset(leaf.name for leaf in leaves(Config()) if leaf.free_on_resume)
