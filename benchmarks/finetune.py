"""What a trained model is worth for joints of one's own: error against pictures seen, from several starts.

    python -m benchmarks.finetune [--init-path pretrained] [--steps 300] [--starts ...] [--work runs/finetune]

The data are 500 pictures (--pictures) of 12 people in one studio, drawn by the synthetic generator with a seed of their
own, and 20 joints that no dataset has: some where a known convention has them, under other names, and some between and
beyond those. Errors (MPJPE about the middle of the hips) are measured on 64 pictures of other people while training,
and on 200 at the end.

starts: trained    the run of --init-path, as it was trained: its fixed layers stay fixed
        head       the same with all of the backbone fixed
        backbone   that run's backbone with its pretrained weights, as they were before anybody trained it
        nothing    random weights, with the network of the preset random-start: that of the run is not made for them

Numbers go to benchmarks/results/finetune.json, the curves to docs/img/finetune.png. It can be killed and started again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

from metrabs_acae import command_line
from metrabs_acae.commands import models, warm_start
from metrabs_acae.data.store import PoseStore, PoseStoreWriter
from metrabs_acae.settings import flag_of
from metrabs_acae.skeletons import make_skeleton, union
from metrabs_acae.tables import render
from metrabs_acae.training.run_folder import RunFolder, open_run

ROOT = Path(__file__).parents[1]
SEED = 2026_11  # of no embedded data
BATCH = 16
CENTRAL = {
    "HeadTop": {"htop_h36m": 1},
    "Nose": {"nose_coco": 1},
    "C7": {"backneck_bmlmovi": 1},
    "Chest": {"sternum_bmlmovi": 0.7, "upperback_bmlmovi": 0.3},
    "Navel": {"umbilicus_bmlmovi": 1},
    "Sacrum": {"lpsis_bmlmovi": 0.6, "rpsis_bmlmovi": 0.6, "umbilicus_bmlmovi": -0.2},
}
SIDED = {
    "Shoulder": {"?sho_3dhp": 0.5, "?sho_coco": 0.5},
    "Elbow": {"?elb_smpl": 1},
    "MidForearm": {"?elb_smpl": 0.5, "?wri_smpl": 0.5},
    "Fist": {"?wri_h36m": -0.5, "?fin_h36m": 1.5},
    "Hip": {"?hip_coco": 1},
    "Knee": {"?knem_bmlmovi": 0.5, "?innerknee_bmlmovi": 0.5},
    "Ankle": {"?ank_3dhp": 1},
}
JOINTS = CENTRAL | {
    f"{side}_{name}": {joint.replace("?", side.lower()): w for joint, w in of.items()}
    for name, of in SIDED.items()
    for side in "LR"
}
STARTS = {
    "trained": {"init_path": "{init}"},
    "head": {"init_path": "{init}", "trained_convolutions": "0"},
    "backbone": {"backbone_weights": "pretrained"},
    "nothing": {"preset": "random-start"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init-path", default="pretrained")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--steps", type=int, default=300, help=f"of {BATCH} pictures")
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--work", type=Path, default=Path("runs/finetune"))
    args = parser.parse_args()
    store = args.work / f"own-{args.pictures}"
    if not store.exists():
        write_store(store, args.pictures)
    rows = [measure(name, args, store) for name in args.starts]
    command = f"python -m benchmarks.finetune --init-path {Path(args.init_path).name} --steps {args.steps}"
    command += f" --starts {' '.join(args.starts)}"
    about = {"command": command, "date": str(date.today()), "machine": f"{os.cpu_count()} cores, CPU"}
    (ROOT / "benchmarks" / "results" / "finetune.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    draw(rows, ROOT / "docs" / "img" / "finetune.png")
    table = [{"start": r["start"]} | dict(r["curve"]) | {"200 others": r["test"]} for r in rows]
    print(render(table, "markdown", digits=0))


def write_store(path: Path, n_train: int) -> None:
    """The pictures with the joints of `JOINTS`."""
    from data_processing.synthetic.conventions import skeletons
    from data_processing.synthetic.datasets import LICENCE, StoreSpec
    from data_processing.synthetic.motions import ALL
    from data_processing.synthetic.scene import make_example
    from metrabs_acae.data import jpeg

    known = union(skeletons().values(), "known")
    weights = np.zeros((known.n_joints, len(JOINTS)))
    for column, of in enumerate(JOINTS.values()):
        for name, weight in of.items():
            weights[known.indices([name])[0], column] = weight
    chains = (
        "HeadTop-Nose-C7-Chest-Navel-Sacrum",
        "C7-R_Shoulder-R_Elbow-R_MidForearm-R_Fist",
        "Sacrum-R_Hip-R_Knee-R_Ankle",
    )
    own = make_skeleton("own", list(JOINTS), ",".join(chains))
    spec = StoreSpec("own", known, rig="studio4", place="studio", motions=ALL, subjects=12, truncated=0.0)
    with PoseStoreWriter(path, name="own", skeleton=own, licence=LICENCE) as writer:
        for split, of, first, count in (
            ("train", "train", 0, n_train),
            ("valid", "test", 0, 64),
            ("test", "test", 64, 200),
        ):
            for index in range(first, first + count):
                image, (row, *_) = make_example(spec, of, index, SEED)
                writer.add(
                    split,
                    image_key=f"{split}/{index:04d}.jpg",
                    image=jpeg.encode(image),
                    box_ltwh_px=row.box_ltwh_px,
                    camera=row.camera,
                    coords=weights.T @ row.coords,
                    mask=row.mask,
                    person=row.person,
                )


def measure(name: str, args, store: Path) -> dict:
    """Trains from a start: {start, curve of (pictures seen, MPJPE of 64 others), MPJPE of 200 others at the end}."""
    logdir = args.work / f"{name}-{args.steps}"
    network = models.settings_of(open_run(args.init_path)).model
    given = {key: value.format(init=args.init_path) for key, value in STARTS[name].items()}
    if "preset" not in given:
        kept = ("backbone", "proc_side", "trained_convolutions")
        given = {key: str(getattr(network, key)) for key in kept} | given
    flags = [word for key, value in given.items() for word in (flag_of(key), value)]
    period = str(max(args.steps // 6, 1))
    flags += ["--dataset3d", str(store), "--batch-size", str(BATCH), "--training-steps", str(args.steps)]
    flags += ["--validate-period", period, "--checkpoint-period", period, "--log-period", period]
    flags += ["--logdir", str(logdir), "--no-export-model"]
    at_start = error_at_start(flags, PoseStore(store))
    if not RunFolder(logdir).finished:
        subprocess.run([sys.executable, "-m", "metrabs_acae.main", "--train", *flags], check=True)
    with open(logdir / "metrics.csv") as file:
        curve = [(BATCH * int(r["step"]), float(r["val_mpjpe"])) for r in csv.DictReader(file) if r["val_mpjpe"]]
    test = json.loads((logdir / "evaluation.json").read_text())["own"]["mpjpe"]
    row = {"start": name, "curve": [(0, at_start), *curve], "test": test}
    print(row, flush=True)
    return row


def error_at_start(flags: list[str], store: PoseStore) -> float:
    from metrabs_acae.commands.evaluate import VALIDATION_EXAMPLES, predictor
    from metrabs_acae.evaluation import store_tables
    from metrabs_acae.evaluation.crops import predict_crops

    config = command_line.parse_arguments(["--train", *flags], "benchmark")
    model = models.build_pose_model(config.model, store.skeleton)
    if config.files.init_path:
        warm_start.initialize(model, config.files.init_path, [store])
    size = config.model.proc_side
    found = predict_crops(
        predictor(model), store.skeleton, store, "valid", image_size=size, batch_size=32,
        max_examples=VALIDATION_EXAMPLES,
    )  # fmt: skip
    return store_tables.standard(found, store.skeleton.joint_names, "")["mpjpe"]


def draw(rows: list[dict], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((6, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="pictures seen (with repetition)", ylabel="MPJPE on other people, mm")
    for row in rows:
        axes.plot(*zip(*row["curve"], strict=True), marker="o", markersize=3, label=row["start"])
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
