"""How exactly poses are converted between skeletons by the package's moments of joints.

    python -m benchmarks.translation --write

Of people and motions of the generator that `experiments.joint_moments` did not fit the weights to, in poses that the
stated errors do not come from, all joints exact.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.pages import made_by
from experiments import joint_moments
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.translation"
RESULTS = Path(__file__).parent / "results" / "translation.md"
SOURCES = (
    *("blazepose_33", "coco_17", "coco_wholebody_23", "openpose_body_25", "halpe_26", "h36m_17", "smpl_24"),
    *("mpi_inf_3dhp_17", "mpi_inf_3dhp_28", "kinectv2_25", "lsp_14"),
)
TARGETS = ("smpl_24", "h36m_17", "coco_17", "mpi_inf_3dhp_17", "bml_movi_87")
NOTE = (
    "mm, over joints and held-out people, in poses that the stated errors do not come from. converted: mean and 95 % "
    "of the errors, exact joints given; noisy: mean if the given joints err by 20 mm (root mean square distance, "
    "independent), which the weights reckon with; trusting: mean, exact joints given, with weights that trust them "
    "(`--noise-mm 2`); stated: the root mean square error that `convert` states; measured: the same of these people; "
    "nearest: mean, each joint taken to be the given one that is nearest to it on average; latents: mean, through the "
    "autoencoder of the model in the box."
)


@settings
class Settings:
    """Conversion of poses between skeletons."""

    people: int = setting(2000, at_least=10)
    """Held-out people."""
    write: bool = setting(False)
    """Write the tables to benchmarks/results/translation.md."""


def row(moments, acae, true: np.ndarray, noisy: np.ndarray, source: str, target: str) -> dict:
    """The errors of one pair of skeletons; `true`, `noisy`: [N, J, 3] mm."""
    from metrabs_acae.acae.convert import conversion_matrix, convert_poses, find_joints
    from metrabs_acae.skeletons import Skeleton

    names = {"from_joints": find_joints(moments, source), "to_joints": find_joints(moments, target)}
    s, t = (Skeleton("", moments.joint_names).indices(n) for n in names.values())
    nearest = np.linalg.norm(true[:, s, None] - true[:, None, t], axis=-1).mean(axis=0).argmin(axis=0)

    def errors(poses):
        return np.linalg.norm(poses - true[:, t], axis=-1)

    converted = errors(convert_poses(true[:, s], moments, **names))
    weights = conversion_matrix(moments, *names.values())
    return {
        "from": source,
        "to": target,
        "converted": converted.mean(),
        "95 %": np.percentile(converted, 95),
        "noisy": errors(convert_poses(noisy[:, s], moments, **names)).mean(),
        "trusting": errors(convert_poses(true[:, s], moments, **names, noise_mm=2)).mean(),
        "stated": np.sqrt((moments.error_mm(s, t, weights) ** 2).mean()),
        "measured": np.sqrt((converted**2).mean()),
        "nearest": errors(true[:, s][:, nearest]).mean(),
        "latents": errors(convert_poses(true[:, s], acae, **names)).mean(),
    }


def consistency_rows(moments, true: np.ndarray) -> list[dict]:
    """Disagreement of skeletons that err by some 40 mm each in a way of its own, by the labels and without them."""
    from metrabs_acae.evaluation.consistency import consistency_metrics
    from metrabs_acae.joint_names import base_and_convention

    rng = np.random.default_rng(0)
    true = (true - true.mean(axis=1, keepdims=True))[..., [0, 2, 1]] * [1, -1, 1] + [0, 0, 4000]

    def centered(p):
        return p - p.mean(axis=1, keepdims=True)

    def normal(scale, *shape):
        return rng.normal(0, scale, shape)

    ways = {
        "moved in depth": lambda p: normal(40, len(p), 1, 1) * [0, 0, 1],
        "every joint moved": lambda p: normal(40, *p.shape),
        "scaled": lambda p: normal(0.1, len(p), 1, 1) * centered(p),
        "leaning": lambda p: normal(0.1, len(p), 1, 1) * centered(p)[..., 1:2] * [0, 0, 1],
    }
    convention = np.array([base_and_convention(name)[1] for name in moments.joint_names])
    rows = []
    for chosen in (("coco", "h36m"), tuple(dict.fromkeys(convention))):
        of_chosen = np.flatnonzero(np.isin(convention, chosen))
        names, poses = [moments.joint_names[i] for i in of_chosen], true[:, of_chosen]
        for way, error in ways.items():
            pred = poses.copy()
            for c in chosen:
                pred[:, convention[of_chosen] == c] += error(poses[:, convention[of_chosen] == c])
            row = {"skeletons": "all" if len(chosen) > 2 else " and ".join(chosen), "each": way}
            for kind, reference in (("with labels", poses), ("without", moments.agreed(pred, names))):
                found = consistency_metrics(pred, reference, names)
                row |= {kind: found["disagreement_mm"], f"{kind}, in depth": found["disagreement_depth_mm"]}
            rows.append(row)
    return rows


def run(arguments: list[str]) -> None:
    from metrabs_acae.acae import Acae
    from metrabs_acae.geometry.joint_moments import JointMoments

    values = parse(Settings, arguments, PROGRAM, description=__doc__)
    moments = JointMoments.load()
    first = joint_moments.PEOPLE // joint_moments.HELD_OUT  # those before gave the errors that are stated
    true = joint_moments.people(range(first, first + values.people), held_out=True)[0].astype(np.float64)
    noisy = true + np.random.default_rng(0).normal(0, 20 / 3**0.5, true.shape)
    acae = Acae.load(Path("metrabs_acae") / "pretrained" / "acae.npz")
    pairs = [(source, target) for source in SOURCES for target in TARGETS if source != target]
    text = render([row(moments, acae, true, noisy, *pair) for pair in pairs], "markdown")
    consistency = render(consistency_rows(moments, true[:500]), "markdown")
    print(f"{text}\n\n{consistency}")
    if values.write:
        RESULTS.write_text(
            f"# Poses converted between skeletons\n\n{made_by(PROGRAM, arguments)}\n\n"
            f"{len(true)} held-out people.\n\n{NOTE}\n\n{text}\n\n"
            "Disagreement in mm (`--evaluate FILE --protocol consistency`) of skeletons that each err in a way of its "
            f"own, by some 40 mm:\n\n{consistency}\n"
        )


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(sys.argv[1:])))
