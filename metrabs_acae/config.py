"""All settings of the program `metrabs_acae.main`, put together from those of its parts.

Names and meanings of flags follow the reference's program where it has them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from metrabs_acae.errors import UserError
from metrabs_acae.settings import flag_of, leaves, section, setting, settings, with_values
from metrabs_acae.training.run_folder import by_name

TRAINING = ("train", "show_batches")
OF_A_RUN = ("pseudo_labels", "train_acae", "predict", "evaluate", "export", "demo")
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
    """Run folder (or, for --demo, SavedModel folder) to use; empty: the newest finished run in runs/."""
    init_path: str = setting("", used_by=("train",), stored=True)
    """Run folder whose weights a new training starts from. With --acae its settings are the starting values too."""
    poses_file: str = setting("", used_by=("pseudo_labels", "train_acae"))
    """Pose file (.npz or .h5) of --pseudo-labels and --train-acae; empty: poses.npz in the run folder."""
    acae: str = setting("", used_by=("train", "train_acae", "export"), stored=True)
    """Autoencoder that --train-acae writes (empty: acae.npz beside the poses) and --train with a --variant needs;
    with --export, one to pass the model's poses through."""
    export_file: str = setting("", used_by=("export",))
    """Folder that --export writes; empty: model/ inside the run folder."""
    out_dir: str = setting("demo", used_by=("demo", "show_batches"))
    """Folder for the pictures of --demo and --show-batches."""
    data_dir: str = setting("synthetic-data", used_by=(*TRAINING, "pseudo_labels", "evaluate", "export"))
    """Folder of the embedded synthetic stores, made at first use; of the presets paper-full, -medium and -small: the
    folder of their pose stores, which are named like the datasets."""
    allow_missing_stores: bool = setting(False)
    """Train without the pose stores of these presets that are missing; the others take their places in the batch."""
    export_model: bool = setting(True, used_by=("train",))
    """Write the SavedModel when a training ends."""


@settings
class Data:
    """Which pose stores, and how many examples of each stand in a batch."""

    dataset3d: tuple[str, ...] = setting(())
    """3D pose stores as PATH or PATH:EXAMPLES_PER_BATCH; empty: the embedded synthetic ones."""
    dataset2d: tuple[str, ...] = setting(())
    """2D pose stores for weak supervision, as --dataset3d."""
    validate_on: tuple[str, ...] = setting(())
    """Pose stores whose valid split is the validation set; empty: all of --dataset3d that have one."""
    test_on: tuple[str, ...] = setting((), used_by=("train", "evaluate"), free_on_resume=True)
    """Pose stores whose test split is evaluated after training; empty: the synthetic ones, if they are used."""
    synthetic_size: Literal["tiny", "small", "medium", "large"] = setting("small")
    """Size of the embedded synthetic data."""
    synthetic_mixture: Literal["broad", "focused"] = setting("broad")
    """How the embedded 3D stores share a batch: broad, or focused on those most like the harder test sets."""
    batch_size: int = setting(28, above=0)
    """3D-labelled examples per batch, shared among the stores that name no number; if all do, their sum counts. The
    embedded ones share it in the proportions of --synthetic-mixture."""
    batch_size_2d: int = setting(4, at_least=0)
    """2D-labelled examples per batch, shared likewise."""
    batch_size_test: int = setting(64, above=0, used_by=("train", "pseudo_labels", "evaluate"), free_on_resume=True)
    """Examples per batch in validation and evaluation."""
    test_time_mirror_aug: bool = setting(False, used_by=("train", "evaluate"), free_on_resume=True)
    """Let each test pose be the mean over the crop and its mirror image."""
    workers: int | None = setting(None, used_by=(*TRAINING, "pseudo_labels"), free_on_resume=True)
    """Loader workers; none: one per processor core."""
    max_bad_fraction: float = setting(0.01, at_least=0, at_most=1, used_by=("train", "predict"), free_on_resume=True)
    """Training stops when more than this fraction of the examples cannot be read."""


@settings
class Augmentation:
    """Random changes to the training examples."""

    geom_aug: bool = setting(True)
    """Rotate, zoom, shift and flip."""
    rot_aug: float = setting(20.0, at_least=0)
    """Largest rotation, degrees."""
    full_rot_aug_prob: float = setting(0.0, at_least=0, at_most=1)
    """Probability of a rotation by any angle."""
    scale_aug_up: float = setting(25.0, at_least=0)
    """Largest zoom in, percent."""
    scale_aug_down: float = setting(25.0, at_least=0, below=100)
    """Largest zoom out, percent."""
    shift_aug: float = setting(10.0, at_least=0)
    """Largest shift, percent of the box."""
    partial_visibility_prob: float = setting(0.0, at_least=0, at_most=1)
    """Probability of training on a random part of the box."""
    color_aug: bool = setting(True)
    """Brightness, contrast, hue and saturation."""
    occlude_aug_prob: float = setting(0.5, at_least=0, at_most=1)
    """Probability of an occluder or an erased rectangle."""
    occlude_aug_prob_2d: float = setting(0.7, at_least=0, at_most=1)
    """The same for 2D-labelled examples."""
    background_aug_prob: float = setting(0.7, at_least=0, at_most=1)
    """Probability of another background, for examples with a mask."""
    background_dir: str = setting("")
    """Folder of background pictures, e.g. INRIA Holidays; empty: generated ones."""
    occluder_dir: str = setting("")
    """Folder of RGBA cut-outs of objects, e.g. from Pascal VOC; empty: generated ones."""


@settings
class Model:
    """The network."""

    variant: Literal["separate", "regularize", "latent", "hybrid"] = setting("separate")
    """How the skeletons are kept consistent: not at all, by a loss, by predicting latents, or latents and joints."""
    stop_gradient_features: bool = setting(False)
    """Variant hybrid: keep the losses of the latents from reaching the backbone."""
    merge_joints: bool = setting(False)
    """Predict one joint for all like-named joints of the skeletons (a baseline)."""
    backbone: str = setting("mobilenetv3-small", used_by=(*TRAINING, *OF_A_RUN))
    """Name of a backbone, or MODULE:NAME of a package of one's own: a run with such a one needs the flag again whenever
    its checkpoint is used."""
    backbone_weights: str = setting("")
    """'imagenet' (downloaded by Keras), 'pretrained' (what the backbone itself brings), a weights file, or empty for
    random ones."""
    trained_convolutions: int | None = setting(None, at_least=0)
    """Train only the last so many convolutions of the backbone: what stands before them stays as --backbone-weights or
    --init-path have it; none: all."""
    proc_side: int = setting(128)
    """Side of the square crop, px."""
    depth: int = setting(8, above=0)
    """Depth cells of the volumetric heatmap."""
    box_size_mm: float = setting(2200.0, above=0)
    """Side of the cube that the volumetric heatmap spans, mm."""
    centered_stride: bool = setting(True)
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
class Training:
    """Optimization."""

    training_steps: int = setting(2000, above=0)
    """Optimizer steps."""
    base_learning_rate: float = setting(1e-3, above=0)
    """Initial learning rate."""
    weight_decay: float = setting(3e-3, at_least=0)
    """Decoupled weight decay, divided by sqrt(decay_steps) as in the reference."""
    decay_steps: int | None = setting(None, above=0)
    """Steps that the weight decay is reckoned with; none: training_steps. A fine-tuning keeps its initial run's."""
    ema_momentum: float = setting(1.0, at_least=0, at_most=1)
    """Momentum of the moving average of the weights; 1: no average."""
    grad_accum_steps: int = setting(1, above=0)
    """Parts that each batch is split into, whose gradients are averaged into one step: less memory, same batch."""
    dtype: Literal["float32", "float16", "bfloat16"] = setting("float32", free_on_resume=True)
    """Compute precision; 16 bits mean mixed precision with float32 weights, heads and geometry."""
    loss_scale: float = setting(128.0, above=0, free_on_resume=True)
    """Static loss scale for float16."""
    dynamic_loss_scale: bool = setting(False, free_on_resume=True)
    """Adapt the loss scale instead."""
    finetune_in_inference_mode: int | None = setting(None, at_least=0)
    """Last steps, trained with frozen batch normalization statistics; none: min(1000, training_steps / 40)."""
    loss2d_factor: float = setting(0.2)
    """Weight of the 2D-labelled examples' loss."""
    absloss_factor: float = setting(0.1)
    """Weight of the absolute position loss."""
    absloss_start_step: int | None = setting(None)
    """Step after which the absolute loss counts; none: min(5000, training_steps / 8)."""
    loss_manif_factor: float = setting(1.0, at_least=0)
    """Weight of the distance between joints and their auto-encoded selves (variants regularize and hybrid)."""
    loss_manif_factor2d: float = setting(1.0, at_least=0)
    """Further factor of that loss on the 2D-labelled examples."""
    allhead_aegt_loss_factor: float | None = setting(None, at_least=0)
    """Weight of the pose loss on auto-encoded joints; none: 1 for hybrid, 0 for regularize."""
    teacher_loss_factor: float = setting(1.0, at_least=0)
    """Weight of the loss between latents and encoded joints (variant hybrid)."""
    teacher_loss_start_step: int | None = setting(None)
    """Step after which that loss counts; none: min(5000, training_steps / 8)."""
    stop_gradient_latent: bool = setting(True)
    """Keep that loss from moving the joints."""
    validate_period: int = setting(500, above=0, free_on_resume=True)
    """Steps between validations, which come with the next row of metrics.csv."""
    checkpoint_period: int = setting(250, above=0, free_on_resume=True)
    """Steps between checkpoints, which come with the next row of metrics.csv."""
    log_period: int = setting(50, above=0, free_on_resume=True)
    """Steps between rows of metrics.csv."""
    seed: int = setting(1, used_by=(*TRAINING, "train_acae"))
    """Seed of weights, data order and augmentation."""
    jit_compile: bool | None = setting(None, free_on_resume=True)
    """Compile the step with XLA; none: on a GPU only."""


@settings
class Devices:
    """What a training runs on. Changes no result beyond rounding: a run may go on with other devices."""

    devices: str = setting("all")
    """How many GPUs of this host to use: a number, or all visible ones that can share the batch."""
    distribution: Literal["auto", "none", "mirrored", "data-parallel", "multi-host"] = setting("auto")
    """How they share it: mirrored (TensorFlow), data-parallel (JAX), multi-host (JAX); auto: mirrored or data-parallel
    where there are several."""
    coordinator: str = setting("")
    """Multi-host: HOST:PORT of the first host, where the others find it; empty: from Slurm or Open MPI."""
    n_hosts: int | None = setting(None)
    """Multi-host: number of processes."""
    host_index: int | None = setting(None)
    """Multi-host: which of them this is, from 0."""


@settings
class PseudoLabels:
    """Settings of --pseudo-labels."""

    pseudo_label_on: tuple[str, ...] = setting(())
    """Stores as STORE or STORE:SPLIT (a path, or the name of one of the run's stores; split train if not given);
    empty: those of the run's 3D stores that are marked clean."""
    min_auc: float = setting(0.0, at_least=0, at_most=1)
    """Keep only poses whose mean AUC to 150 mm against the example's own labels exceeds this; 0: all."""


@settings
class AcaeFit:
    """Settings of --train-acae."""

    n_latents: int = setting(48, above=0)
    """Number of latent points."""
    n_center_latents: int = setting(8, at_least=0)
    """How many of them lie on the body's symmetry plane."""
    acae_weights: Literal["nonnegative", "affine"] = setting("nonnegative")
    """Convex combinations, or signed weights as in the paper."""
    sparsity: float = setting(0.6, at_least=0)
    """Factor of the L1 regularizer (signed weights only)."""
    acae_loss_space: Literal["image", "3d"] = setting("image")
    """Compare positions in the image plane, or in space."""
    chiral: bool = setting(True)
    """Mirrored poses get mirrored latents, exactly."""
    head_weight: float = setting(2.0, above=0)
    """Factor on the errors of head and face joints."""
    weight_threshold: float = setting(0.0, at_least=0)
    """Set smaller weights to zero after the fit."""
    acae_steps: int = setting(5000, above=0)
    """Steps of the final run."""
    acae_batch_size: int = setting(32, above=0)
    """Poses per step."""
    n_restarts: int = setting(8, above=0)
    """Short runs to choose the final run's start from."""


@settings
class Export:
    """Settings of --export."""

    detector: str = setting("")
    """'ssdlite', the folder of a SavedModel (see inference/detectors.py) or 'none'; empty: ssdlite, if installed."""
    bone_lengths: str = setting("")
    """File of `python -m data_processing bone-lengths`, to judge detected poses by, or 'none'; empty: measured on the
    run's stores."""
    crop_formats: tuple[Literal["onnx", "litert"], ...] = setting(())
    """Write the network alone in these formats too, with what runs them on NumPy, into crop_model/ in the model."""
    crop_batch_size: int = setting(1, above=0)
    """Crops per call of those files."""
    archive: bool = setting(False)
    """Write a .tar.gz of the folder too."""
    tta_rotation: Literal["limited", "full", "half_full"] = setting("limited")
    """Turns at test time: by 25 degrees at most (less if trained with less), by any angle, or half of them by any."""
    licence_notes: str = setting("")
    """Text for the model card."""


@settings
class Demo:
    """Settings of --demo."""

    boxes: str = setting("")
    """People's boxes LEFT,TOP,WIDTH,HEIGHT[;...] in pixels, the same for everything, or a JSON file
    {file name: [[left, top, width, height], ...]}; empty: the model's detector."""
    skeleton: str = setting("")
    """Named skeleton to draw; empty: the model's first."""
    intrinsics: str = setting("")
    """Focal lengths and principal point FX,FY,CX,CY in pixels; empty: from --fov."""
    fov: float = setting(55.0, above=0, below=180)
    """Assumed field of view along the larger side, degrees."""
    num_aug: int | None = setting(None, above=0, used_by=("demo", "predict"))
    """Test-time augmentations to average; none: one in --demo, the benchmark's own in --predict."""
    detector_threshold: float = setting(0.3, at_least=0, at_most=1)
    """Lowest score of a detection."""
    detector_nms_iou_threshold: float = setting(0.5, at_least=0, at_most=1)
    """Of two detections that overlap more (intersection over union) the one with the lower score is dropped."""
    suppress_implausible_poses: bool = setting(False)
    """Drop poses that do not look like the detected person, as detect_poses does; a weak model then loses people."""
    outputs: tuple[Literal["overlay", "json", "npz", "viewer"], ...] = setting(("overlay", "json", "npz", "viewer"))
    """What to write: pictures or video with the poses drawn in, files of poses, an interactive 3D page."""
    track: bool = setting(True)
    """Videos: give a person the same number and colour in all frames."""
    smooth: bool = setting(False)
    """Videos: smooth the poses of tracked people over time."""
    frames_per_batch: int = setting(8, above=0)
    """Videos: frames that the model sees at once."""
    max_frames: int = setting(0, at_least=0)
    """Videos and webcams: stop after this many frames; 0: no limit."""


@settings
class Benchmark:
    """Settings of --predict and of --evaluate with prediction files."""

    protocol: Literal["", "generic", "human36m", "h36m", "mpi_inf_3dhp", "mupots", "3dpw"] = setting(
        "", used_by=("predict", OF_FILES)
    )
    """Benchmark's rules; empty: generic or, in --evaluate, those that the file was predicted by."""
    predictions: str = setting("", used_by=("predict",))
    """File that --predict writes; empty: predictions/STORE.npz in the run folder."""
    truth: str = setting("")
    """Pose store that holds the labels, as STORE or STORE:SPLIT; empty: that which was predicted."""
    protocol_options: tuple[str, ...] = setting(())
    """Options of the protocol as NAME=VALUE, e.g. missing=skip; a protocol prints those it has."""
    boxes_from: Literal["", "store", "detector"] = setting("", used_by=("predict",))
    """Where --predict has people's boxes from; empty: as the benchmark's protocol says."""
    real_intrinsics: bool = setting(False, used_by=("predict",))
    """Use the cameras' intrinsics in 3DPW, too, where a field of view of 55 degrees is assumed otherwise."""
    report_dir: str = setting("")
    """Folder for the tables of --evaluate FILE; empty: FILE without its suffix."""
    report_format: Literal["text", "markdown", "latex", "csv", "json"] = setting("text")
    """How --evaluate FILE prints them; the folder has all formats but text."""


@settings
class Config:
    """All settings of one call of the program."""

    verbs: Verbs = section(Verbs)
    files: Files = section(Files, used_by=TRAINING)
    data: Data = section(Data, used_by=TRAINING, stored=True)
    augmentation: Augmentation = section(Augmentation, used_by=TRAINING, stored=True)
    model: Model = section(Model, used_by=TRAINING, stored=True)
    training: Training = section(Training, used_by=TRAINING, stored=True)
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
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in by_name(stored).items()}
        unknown = set(values) - {leaf.name for leaf in leaves(self) if leaf.stored}
        if unknown:
            raise UserError(f"{source} has settings of another version: {', '.join(sorted(unknown))}.")
        return with_values(self, values)


FREE_ON_RESUME = frozenset(leaf.name for leaf in leaves(Config()) if leaf.free_on_resume)


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
