"""How large an experiment is: which data, how many steps, what that costs.

| scale | what for | data | trainings |
|---|---|---|---|
| `tiny` | tests: every step once, numbers mean nothing | embedded, tiny | a few steps of 64 px |
| `small` | the directions of the findings, on two CPU cores | embedded, small | minutes each, two at a time |
| `small-random-start` | the same from random weights | embedded, small | minutes each, two at a time |
| `paper` | the paper's settings | the real stores | 400,000 + 40,000 steps |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metrabs_acae.data.shares import in_proportion
from metrabs_acae.errors import UserError

Mixture = tuple[tuple[str, int], ...]
"""Stores and how many of their examples stand in a batch."""


@dataclass(frozen=True)
class Costs:
    """What to expect of the machine that the scale is made for; seconds of wall time.

    Attributes:
        train_images_per_s, predict_images_per_s: in training and in prediction.
        start_s: of each program (imports, compilation); evaluation_s: of a training's validations and evaluation.
        fit_s: of one autoencoder; data_s: to make the embedded data.
    """

    train_images_per_s: float
    predict_images_per_s: float
    start_s: float
    evaluation_s: float
    fit_s: float
    data_s: float
    machine: str


@dataclass(frozen=True)
class Scale:
    """One size of all experiments.

    Attributes:
        mixtures: name -> 3D stores: ``single-...`` (one training set), ``small``, ``medium``, ``full``.
        mixture_2d: 2D stores, in every training.
        sizes: mixture -> its share of the full one's images, where that is known.
        tests: mixture -> test stores that its model has the joints for.
        benchmarks: protocol -> test store; protocol_options: protocol -> flags for --protocol-options.
        all_joints_store: test store with every skeleton's joints, for consistency; empty: none.
        pseudo_labels_on: flags of --pseudo-label-on; empty: the stores marked clean.
        training_flags: for every training; acae_flags: for every fit; predict_flags: for --predict.
        subfolder: of the stores' folder; synthetic_size: of the data to make there, if any.
        in_process: run steps inside this program instead of one program each.
        jobs: steps at a time. Small networks use one core much better than two: on the two cores that `small` is made
            for, two trainings of a core each make 230 images/s together, one of both cores 157.
    """

    name: str
    seeds: tuple[int, ...]
    training_steps: int
    finetuning_steps: int
    mixtures: Mapping[str, Mixture]
    mixture_2d: Mixture
    tests: Mapping[str, tuple[str, ...]]
    benchmarks: Mapping[str, str]
    costs: Costs
    all_joints_store: str = ""
    sizes: Mapping[str, float] = field(default_factory=dict)
    protocol_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pseudo_labels_on: tuple[str, ...] = ()
    pseudo_label_images: int = 0
    test_images: int = 0
    n_latents: int = 48
    latent_counts: tuple[int, ...] = (8, 16, 32, 48, 64)
    training_flags: tuple[str, ...] = ()
    acae_flags: tuple[str, ...] = ()
    predict_flags: tuple[str, ...] = ()
    subfolder: str = ""
    synthetic_size: str = ""
    in_process: bool = False
    jobs: int = 1

    @property
    def batch_2d(self) -> int:
        return sum(count for _, count in self.mixture_2d)

    def batch(self, mixture: str) -> int:
        """Examples in a batch."""
        return sum(count for _, count in self.mixtures[mixture]) + self.batch_2d


COMBINATIONS = {
    "small": ("h36m", "3dhp", "muco", "surreal"),
    "medium": ("h36m", "3dhp", "muco", "surreal", "panoptic", "aist", "humbi", "hspace"),
}
"""The paper's small mixture is H36M, MuCo and SURREAL; 3DHP has a skeleton of its own in the embedded data, so it is
added to have the joints of all four benchmarks."""


def embedded(name: str, size: str, *, batch: int, batch_2d: int, **settings) -> Scale:
    """A scale on the embedded synthetic data."""
    from data_processing.synthetic.datasets import BENCHMARKS, CONSISTENCY_STORE, SIZES, STORES, TRAIN_2D, TRAIN_3D

    def shared(weights: dict[str, int], total: int) -> Mixture:
        return tuple(in_proportion(weights, total).items())

    weights = dict(TRAIN_3D)
    mixtures, sizes = {"full": shared(weights, batch)}, {}
    for combination, members in COMBINATIONS.items():
        chosen = {f"synthetic-{m}": weights[f"synthetic-{m}"] for m in members}
        mixtures[combination] = shared(chosen, batch)
        sizes[combination] = sum(chosen.values()) / sum(weights.values())
    benchmarks = dict(zip(("human36m", "mpi_inf_3dhp", "mupots", "3dpw"), (b.store for b in BENCHMARKS), strict=True))
    tests = {name: tuple(benchmarks.values()) for name in COMBINATIONS}
    tests["full"] = (*benchmarks.values(), CONSISTENCY_STORE)
    for own, benchmark in zip(("h36m", "3dhp", "muco", "surreal"), benchmarks.values(), strict=True):
        mixtures[f"single-{own}"] = ((f"synthetic-{own}", batch),)
        sizes[f"single-{own}"] = weights[f"synthetic-{own}"] / sum(weights.values())
        tests[f"single-{own}"] = (benchmark,)
    clean = [s for s in STORES.values() if s.clean and "train" in s.splits]
    return Scale(
        name=name,
        mixtures=mixtures,
        mixture_2d=shared(dict(TRAIN_2D), batch_2d),
        tests=tests,
        benchmarks=benchmarks,
        all_joints_store=CONSISTENCY_STORE,
        sizes=sizes,
        protocol_options={
            "mpi_inf_3dhp": ("scenes=none", "missing=skip"),
            "human36m": ("missing=skip",),
            "3dpw": ("association=given", "missing=skip"),
        },
        pseudo_label_images=sum(max(SIZES[size].train_least, SIZES[size].train_per_share * s.share) for s in clean),
        test_images=SIZES[size].test,
        subfolder=size,
        synthetic_size=size,
        # The embedded images have one detector-friendly person each at best: the labelled boxes keep detection out.
        predict_flags=("--boxes-from", "store", "--real-intrinsics"),
        **settings,
    )


def tiny() -> Scale:
    return embedded(
        "tiny",
        "tiny",
        batch=10,
        batch_2d=2,
        seeds=(1,),
        training_steps=16,
        finetuning_steps=4,
        n_latents=8,
        latent_counts=(4, 8),
        # At the usual rate, so few steps leave all joints at one place, which is refused as a pose.
        training_flags=("--preset", "tiny", "--base-learning-rate", "0.01"),
        acae_flags=("--acae-steps", "60", "--n-restarts", "1"),
        costs=Costs(20, 60, 12, 6, 4, 20, "one busy CPU core"),
        in_process=True,
    )


def small() -> Scale:
    """From the default preset's backbone, which has seen real people."""
    return _small("small", 1200, 300, "default", Costs(42, 60, 30, 40, 40, 65, "two CPU cores"))


def small_random_start() -> Scale:
    """From random weights, in a smaller network."""
    costs = Costs(110, 250, 20, 30, 30, 150, "two CPU cores")
    return _small("small-random-start", 3400, 800, "random-start", costs)


def _small(name: str, training_steps: int, finetuning_steps: int, preset: str, costs: Costs) -> Scale:
    return embedded(
        name,
        "small",
        batch=28,  # as the default preset, whose mixture this is
        batch_2d=4,
        seeds=(1, 2, 3),
        training_steps=training_steps,
        finetuning_steps=finetuning_steps,
        training_flags=("--preset", preset),
        jobs=2,
        costs=costs,
    )


def paper() -> Scale:
    """The real stores, as `python -m data_processing` makes and names them; batches as in the paper."""
    from metrabs_acae.data.paper_mixtures import COUNTS_2D, COUNTS_3D

    mixtures: dict[str, Mixture] = {mixture: tuple(counts.items()) for mixture, counts in COUNTS_3D.items()}
    benchmarks = {"human36m": "h36m-test", "mpi_inf_3dhp": "3dhp-test", "mupots": "mupots", "3dpw": "3dpw"}
    for own in ("h36m", "3dhp", "muco", "surreal"):
        mixtures[f"single-{own}"] = ((own, 96),)
    tests = {m: tuple(benchmarks.values()) for m in ("full", "medium", "small")}
    owners = zip(("h36m", "3dhp", "muco", "surreal"), benchmarks.values(), strict=True)
    tests |= {f"single-{own}": (store,) for own, store in owners}
    return Scale(
        name="paper",
        seeds=(1,),
        training_steps=400_000,
        finetuning_steps=40_000,
        mixtures=mixtures,
        mixture_2d=tuple(COUNTS_2D[1].items()),
        tests=tests,
        benchmarks=benchmarks,
        pseudo_labels_on=("h36m:train", "bml_movi:train"),
        pseudo_label_images=300_000,
        test_images=20_000,
        training_flags=("--preset", "paper"),
        acae_flags=("--acae-steps", "300000"),
        costs=Costs(1000, 1500, 120, 900, 600, 0, "one data-centre GPU (a guess: never run)"),
    )


SCALES = {"tiny": tiny, "small": small, "small-random-start": small_random_start, "paper": paper}


def get_scale(name: str) -> Scale:
    """The scale called `name`; UserError lists the names."""
    if name not in SCALES:
        raise UserError(f"There is no scale '{name}'; choose one of {', '.join(SCALES)}.")
    return SCALES[name]()
