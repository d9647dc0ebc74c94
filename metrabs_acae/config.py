"""Settings: frozen dataclasses, one per concern; `command_line` makes them from presets and flags.

A flag's name is its field's name with dashes; names and meanings follow the reference's program where it has them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.settings import Benchmark


@dataclass(frozen=True)
class Verbs:
    """What to do: exactly one of these."""

    train: bool = False
    """Train a model, then evaluate and export it. Goes on with an unfinished run of the same settings."""
    pseudo_labels: bool = False
    """Predict all joints of many examples with the model of --load-path and write them to --poses-file."""
    train_acae: bool = False
    """Fit an affine-combining autoencoder to --poses-file and write it, with a report, to --acae."""
    predict: str = ""
    """Predict the people of a benchmark, a pose store as STORE or STORE:SPLIT (test if not given), with the model of
    --load-path (a run folder or a SavedModel), in the way of --protocol, and write them to --predictions."""
    evaluate: tuple[str, ...] | None = None
    """Score prediction files by --protocol; without a file, the model of --load-path on all its test stores."""
    export: bool = False
    """Write the model of --load-path as a SavedModel to --export-file."""
    demo: tuple[str, ...] = ()
    """Draw the poses in these photographs, videos, folders of them, webcams (by number) or a video on a pipe (-) with
    the model of --load-path (a run folder or a SavedModel)."""
    show_batches: int = 0
    """Draw this many training batches with their joints, then stop: the first look at new data."""

    @property
    def chosen(self) -> str:
        """The field name of the one verb given; UserError if there is none or more than one."""
        given = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        if len(given) != 1:
            flags = ", ".join(flag_of(f.name) for f in dataclasses.fields(self))
            raise UserError(f"Give exactly one of {flags}; got {' and '.join(map(flag_of, given)) or 'none'}.")
        return given[0]


@dataclass(frozen=True)
class Files:
    """Where things are read and written."""

    logdir: str = ""
    """Run folder of --train; empty: the unfinished or else a new runs/PRESET-NUMBER."""
    load_path: str = ""
    """Run folder (or, for --demo, SavedModel folder) to use; empty: the newest finished run in runs/."""
    init_path: str = ""
    """Run folder whose weights a new training starts from. With --acae its settings are the starting values too."""
    poses_file: str = ""
    """Pose file (.npz or .h5) of --pseudo-labels and --train-acae; empty: poses.npz in the run folder."""
    acae: str = ""
    """Autoencoder that --train-acae writes (empty: acae.npz beside the poses) and --train with a --variant needs;
    with --export, one to pass the model's poses through."""
    export_file: str = ""
    """Folder that --export writes; empty: model/ inside the run folder."""
    out_dir: str = "demo"
    """Folder for the pictures of --demo and --show-batches."""
    data_dir: str = "synthetic-data"
    """Folder of the embedded synthetic stores, made at first use; of the presets paper-full, -medium and -small: the
    folder of their pose stores, which are named like the datasets."""
    allow_missing_stores: bool = False
    """Train without the pose stores of these presets that are missing; the others take their places in the batch."""
    export_model: bool = True
    """Write the SavedModel when a training ends."""


@dataclass(frozen=True)
class Data:
    """Which pose stores, and how many examples of each stand in a batch."""

    dataset3d: tuple[str, ...] = ()
    """3D pose stores as PATH or PATH:EXAMPLES_PER_BATCH; empty: the embedded synthetic ones."""
    dataset2d: tuple[str, ...] = ()
    """2D pose stores for weak supervision, as --dataset3d."""
    validate_on: tuple[str, ...] = ()
    """Pose stores whose valid split is the validation set; empty: all of --dataset3d that have one."""
    test_on: tuple[str, ...] = ()
    """Pose stores whose test split is evaluated after training; empty: the synthetic ones, if they are used."""
    synthetic_size: Literal["tiny", "small", "medium", "large"] = "small"
    """Size of the embedded synthetic data."""
    synthetic_mixture: Literal["broad", "focused"] = "broad"
    """How the embedded 3D stores share a batch: broad, or focused on those most like the harder test sets."""
    batch_size: int = 28
    """3D-labelled examples per batch, shared among the stores that name no number; if all do, their sum counts. The
    embedded ones share it in the proportions of --synthetic-mixture."""
    batch_size_2d: int = 4
    """2D-labelled examples per batch, shared likewise."""
    batch_size_test: int = 64
    """Examples per batch in validation and evaluation."""
    test_time_mirror_aug: bool = False
    """Let each test pose be the mean over the crop and its mirror image."""
    workers: int | None = None
    """Loader workers; none: one per processor core."""
    max_bad_fraction: float = 0.01
    """Training stops when more than this fraction of the examples cannot be read."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes to the training examples."""

    geom_aug: bool = True
    """Rotate, zoom, shift and flip."""
    rot_aug: float = 20.0
    """Largest rotation, degrees."""
    full_rot_aug_prob: float = 0.0
    """Probability of a rotation by any angle."""
    scale_aug_up: float = 25.0
    """Largest zoom in, percent."""
    scale_aug_down: float = 25.0
    """Largest zoom out, percent."""
    shift_aug: float = 10.0
    """Largest shift, percent of the box."""
    partial_visibility_prob: float = 0.0
    """Probability of training on a random part of the box."""
    color_aug: bool = True
    """Brightness, contrast, hue and saturation."""
    occlude_aug_prob: float = 0.5
    """Probability of an occluder or an erased rectangle."""
    occlude_aug_prob_2d: float = 0.7
    """The same for 2D-labelled examples."""
    background_aug_prob: float = 0.7
    """Probability of another background, for examples with a mask."""
    background_dir: str = ""
    """Folder of background pictures, e.g. INRIA Holidays; empty: generated ones."""
    occluder_dir: str = ""
    """Folder of RGBA cut-outs of objects, e.g. from Pascal VOC; empty: generated ones."""


@dataclass(frozen=True)
class Model:
    """The network."""

    variant: Literal["separate", "regularize", "latent", "hybrid"] = "separate"
    """How the skeletons are kept consistent: not at all, by a loss, by predicting latents, or latents and joints."""
    stop_gradient_features: bool = False
    """Variant hybrid: keep the losses of the latents from reaching the backbone."""
    merge_joints: bool = False
    """Predict one joint for all like-named joints of the skeletons (a baseline)."""
    backbone: str = "mobilenetv3-small"
    """Backbone from keras.applications."""
    backbone_weights: str = ""
    """'imagenet', a weights file, or empty for random ones."""
    proc_side: int = 128
    """Side of the square crop, px."""
    depth: int = 8
    """Depth cells of the volumetric heatmap."""
    box_size_mm: float = 2200.0
    """Side of the cube that the volumetric heatmap spans, mm."""
    centered_stride: bool = True
    """Centre the receptive fields of the heatmap cells in the crop."""
    weak_perspective: bool = False
    """Reconstruct absolute poses with the weak perspective model at test time."""
    mix_3d_inside_fov: float = 0.5
    """Share of the 3D head in the absolute pose of joints inside the picture, at test time."""
    ghost_bn: int = 16
    """Group size of ghost batch normalization; 0: ordinary batch normalization."""
    batch_norm_momentum: float = 0.9
    """Momentum of the batch normalization statistics."""
    constrain_kernel_norm: float = 20.0
    """Largest norm of a convolution kernel per output channel; inf: no limit."""


@dataclass(frozen=True)
class Training:
    """Optimization."""

    training_steps: int = 2000
    """Optimizer steps."""
    base_learning_rate: float = 1e-3
    """Initial learning rate."""
    weight_decay: float = 3e-3
    """Decoupled weight decay, divided by sqrt(decay_steps) as in the reference."""
    decay_steps: int | None = None
    """Steps that the weight decay is reckoned with; none: training_steps. A fine-tuning keeps its initial run's."""
    ema_momentum: float = 1.0
    """Momentum of the moving average of the weights; 1: no average."""
    grad_accum_steps: int = 1
    """Parts that each batch is split into, whose gradients are averaged into one step: less memory, same batch."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Compute precision; 16 bits mean mixed precision with float32 weights, heads and geometry."""
    loss_scale: float = 128.0
    """Static loss scale for float16."""
    dynamic_loss_scale: bool = False
    """Adapt the loss scale instead."""
    finetune_in_inference_mode: int | None = None
    """Last steps, trained with frozen batch normalization statistics; none: min(1000, training_steps / 40)."""
    loss2d_factor: float = 0.2
    """Weight of the 2D-labelled examples' loss."""
    absloss_factor: float = 0.1
    """Weight of the absolute position loss."""
    absloss_start_step: int | None = None
    """Step after which the absolute loss counts; none: min(5000, training_steps / 8)."""
    loss_manif_factor: float = 1.0
    """Weight of the distance between joints and their auto-encoded selves (variants regularize and hybrid)."""
    loss_manif_factor2d: float = 1.0
    """Further factor of that loss on the 2D-labelled examples."""
    allhead_aegt_loss_factor: float | None = None
    """Weight of the pose loss on auto-encoded joints; none: 1 for hybrid, 0 for regularize."""
    teacher_loss_factor: float = 1.0
    """Weight of the loss between latents and encoded joints (variant hybrid)."""
    teacher_loss_start_step: int | None = None
    """Step after which that loss counts; none: min(5000, training_steps / 8)."""
    stop_gradient_latent: bool = True
    """Keep that loss from moving the joints."""
    validate_period: int = 500
    """Steps between validations, which come with the next row of metrics.csv."""
    checkpoint_period: int = 250
    """Steps between checkpoints, which come with the next row of metrics.csv."""
    log_period: int = 50
    """Steps between rows of metrics.csv."""
    seed: int = 1
    """Seed of weights, data order and augmentation."""
    jit_compile: bool | None = None
    """Compile the step with XLA; none: on a GPU only."""


@dataclass(frozen=True)
class Devices:
    """What a training runs on. Changes no result beyond rounding: a run may go on with other devices."""

    devices: str = "all"
    """How many GPUs of this host to use: a number, or all visible ones that can share the batch."""
    distribution: Literal["auto", "none", "mirrored", "data-parallel", "multi-host"] = "auto"
    """How they share it: mirrored (TensorFlow), data-parallel (JAX), multi-host (JAX); auto: mirrored or data-parallel
    where there are several."""
    coordinator: str = ""
    """Multi-host: HOST:PORT of the first host, where the others find it; empty: from Slurm or Open MPI."""
    n_hosts: int | None = None
    """Multi-host: number of processes."""
    host_index: int | None = None
    """Multi-host: which of them this is, from 0."""


@dataclass(frozen=True)
class PseudoLabels:
    """Settings of --pseudo-labels."""

    pseudo_label_on: tuple[str, ...] = ()
    """Stores as STORE or STORE:SPLIT (a path, or the name of one of the run's stores; split train if not given);
    empty: those of the run's 3D stores that are marked clean."""
    min_auc: float = 0.0
    """Keep only poses whose mean AUC to 150 mm against the example's own labels exceeds this; 0: all."""


@dataclass(frozen=True)
class AcaeFit:
    """Settings of --train-acae."""

    n_latents: int = 48
    """Number of latent points."""
    n_center_latents: int = 8
    """How many of them lie on the body's symmetry plane."""
    acae_weights: Literal["nonnegative", "affine"] = "nonnegative"
    """Convex combinations, or signed weights as in the paper."""
    sparsity: float = 0.6
    """Factor of the L1 regularizer (signed weights only)."""
    acae_loss_space: Literal["image", "3d"] = "image"
    """Compare positions in the image plane, or in space."""
    chiral: bool = True
    """Mirrored poses get mirrored latents, exactly."""
    head_weight: float = 2.0
    """Factor on the errors of head and face joints."""
    weight_threshold: float = 0.0
    """Set smaller weights to zero after the fit."""
    acae_steps: int = 5000
    """Steps of the final run."""
    acae_batch_size: int = 32
    """Poses per step."""
    n_restarts: int = 8
    """Short runs to choose the final run's start from."""


@dataclass(frozen=True)
class Export:
    """Settings of --export."""

    detector: str = ""
    """'ssdlite', the folder of a SavedModel (see inference/detectors.py) or 'none'; empty: ssdlite, if installed."""
    bone_lengths: str = ""
    """File of `python -m data_processing bone-lengths`, to judge detected poses by, or 'none'; empty: measured on the
    run's stores."""
    crop_formats: tuple[Literal["onnx", "litert"], ...] = ()
    """Write the network alone in these formats too, with what runs them on NumPy, into crop_model/ in the model."""
    crop_batch_size: int = 1
    """Crops per call of those files."""
    archive: bool = False
    """Write a .tar.gz of the folder too."""
    tta_rotation: Literal["limited", "full", "half_full"] = "limited"
    """Turns at test time: by 25 degrees at most (less if trained with less), by any angle, or half of them by any."""
    licence_notes: str = ""
    """Text for the model card."""


@dataclass(frozen=True)
class Demo:
    """Settings of --demo."""

    boxes: str = ""
    """People's boxes LEFT,TOP,WIDTH,HEIGHT[;...] in pixels, the same for everything, or a JSON file
    {file name: [[left, top, width, height], ...]}; empty: the model's detector."""
    skeleton: str = ""
    """Named skeleton to draw; empty: the model's first."""
    intrinsics: str = ""
    """Focal lengths and principal point FX,FY,CX,CY in pixels; empty: from --fov."""
    fov: float = 55.0
    """Assumed field of view along the larger side, degrees."""
    num_aug: int | None = None
    """Test-time augmentations to average; none: one in --demo, the benchmark's own in --predict."""
    detector_threshold: float = 0.3
    """Lowest score of a detection."""
    detector_nms_iou_threshold: float = 0.5
    """Of two detections that overlap more (intersection over union) the one with the lower score is dropped."""
    suppress_implausible_poses: bool = False
    """Drop poses that do not look like the detected person, as detect_poses does; a weak model then loses people."""
    outputs: tuple[Literal["overlay", "json", "npz", "viewer"], ...] = ("overlay", "json", "npz", "viewer")
    """What to write: pictures or video with the poses drawn in, files of poses, an interactive 3D page."""
    track: bool = True
    """Videos: give a person the same number and colour in all frames."""
    smooth: bool = False
    """Videos: smooth the poses of tracked people over time."""
    frames_per_batch: int = 8
    """Videos: frames that the model sees at once."""
    max_frames: int = 0
    """Videos and webcams: stop after this many frames; 0: no limit."""


@dataclass(frozen=True)
class Config:
    """All settings of one call of the program."""

    verbs: Verbs = field(default_factory=Verbs)
    files: Files = field(default_factory=Files)
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    devices: Devices = field(default_factory=Devices)
    export_settings: Export = field(default_factory=Export)
    demo_settings: Demo = field(default_factory=Demo)
    pseudo_label_settings: PseudoLabels = field(default_factory=PseudoLabels)
    acae_settings: AcaeFit = field(default_factory=AcaeFit)
    benchmark: Benchmark = field(default_factory=Benchmark)
    preset: str = "default"
    """Starting values of all settings; see the README."""

    def run_settings(self) -> dict:
        """What decides the result of a training, as plain types: the part that a resumed run must share."""
        parts = {name: dataclasses.asdict(getattr(self, name)) for name in RUN_SECTIONS}
        for section, names in FREE_ON_RESUME.items():
            for name in names:
                parts[section].pop(name)
        parts["files"] = {"init_path": self.files.init_path, "acae": self.files.acae}
        return parts

    def with_run_settings(self, stored: dict, source: str | Path) -> Config:
        """These settings, but those that `run_settings` gave where they were stored; UserError on unknown ones."""
        sections = {}
        for name in RUN_SECTIONS:
            mine = getattr(self, name)
            unknown = set(stored[name]) - {f.name for f in dataclasses.fields(mine)}
            if unknown:
                raise UserError(f"{source} has settings of another version: {', '.join(sorted(unknown))}.")
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in stored[name].items()}
            sections[name] = dataclasses.replace(mine, **values)
        return dataclasses.replace(self, **sections)


RUN_SECTIONS = ("data", "augmentation", "model", "training")
FREE_ON_RESUME = {
    "data": ("workers", "batch_size_test", "test_time_mirror_aug", "test_on", "max_bad_fraction"),
    "training": ("checkpoint_period", "validate_period", "log_period", "jit_compile"),
}


def store_and_count(text: str) -> tuple[Path, int | None]:
    """A store's path and, where given, its examples per batch, from PATH or PATH:COUNT."""
    path, colon, count = text.rpartition(":")
    if not colon:
        return Path(text), None
    if not count.isdigit() or int(count) == 0:
        raise UserError(
            f"'{text}': what follows the last colon must be the examples per batch, a whole number above 0."
        )
    return Path(path), int(count)


def flag_of(field_name: str) -> str:
    return "--" + field_name.replace("_", "-")


def flags_of(section) -> list[str]:
    """The arguments that give the settings of one of the dataclasses where these differ from its defaults."""
    arguments = []
    for field_ in dataclasses.fields(section):
        value, flag = getattr(section, field_.name), flag_of(field_.name)
        if value == field_.default:
            continue
        if isinstance(value, bool):
            arguments.append(flag if value else "--no" + flag[1:])
        else:
            arguments += [flag, *map(str, value if isinstance(value, tuple) else [value])]
    return arguments
