"""Are the errors that a model expects of its joints those that it makes?

    python -m benchmarks.uncertainty --video pose2sim-0.10.49-py3-none-any.whl --write

On rendered people that `experiments.error_map` did not fit the error map on, and on the real video
(docs/evaluation.md), one crop each. Errors are about the middle of the person's joints.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks import real_views
from benchmarks.pages import made_by
from benchmarks.real_people import JOINTS, joint_names
from experiments import error_map
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.uncertainty"
RESULTS = Path(__file__).parent / "results" / "uncertainty.md"
NOTE = (
    "Correlation: Spearman's, of a joint's expected and true error. Over joints: of all joints of all people together; "
    "within a joint: the mean over the joints of the correlation over people; over people: of the means over a "
    "person's joints. Entropy: the same of the heatmap's entropy alone. Covered: the share of errors below the "
    "expected one, which should be 68 %, and below twice of it."
)


@settings
class Settings:
    """Tests the errors that a model expects of its joints."""

    model: str = setting("pretrained")
    """A run folder or 'pretrained'."""
    people: int = setting(200, at_least=20)
    """Rendered people."""
    video: str = setting("")
    """The wheel of pose2sim 0.10.49 or a folder with its videos; empty: rendered people only."""
    write: bool = setting(False)
    """Write the tables to benchmarks/results/uncertainty.md."""


def real_errors(estimator, names: tuple[str, ...], wheel: Path):
    """The same of the 12 joints of the real video, every fifth frame of each camera."""
    found = []
    for view in real_views.video_views(wheel):
        if not view.measured:
            continue
        index = [names.index(name) for name in joint_names(view, names)]
        camera = {"intrinsic_matrix": np.float32(view.intrinsics)[np.newaxis], "world_up_vector": np.float32(view.up)}
        camera["distortion_coeffs"] = np.float32(view.distortion)[np.newaxis]
        poses, uncertainty, entropy = (x[index] for x in error_map.posed(estimator, view.image, view.box, camera))
        true = view.coords3d_mm[[[n.split("_")[0] for n in view.joint_names].index(j) for j in JOINTS]]
        found.append((error_map.errors_of(poses, true), uncertainty, entropy))
    return tuple(np.stack(x) for x in zip(*found, strict=True))


def row_of(name: str, errors, uncertainty, entropy) -> dict:
    def correlations(expected):
        known = np.isfinite(errors)
        within = [spearmanr(expected[k, j], errors[k, j])[0] for j, k in enumerate(known.T) if k.sum() > 10]
        people = spearmanr(np.where(known, expected, np.nan).mean(1), np.nanmean(errors, 1), nan_policy="omit")[0]
        return spearmanr(expected[known], errors[known])[0], np.nanmean(within), people

    columns = ("over joints", "within a joint", "over people")
    row = {"people": name, "n": len(errors), "mean error": float(np.nanmean(errors))}
    row |= {c: f"{new:.2f} ({old:.2f})" for c, new, old in
            zip(columns, correlations(uncertainty), correlations(entropy), strict=True)}  # fmt: skip
    covered = [100 * np.mean(errors[np.isfinite(errors)] < (k * uncertainty)[np.isfinite(errors)]) for k in (1, 2)]
    return row | {"covered": f"{covered[0]:.0f} %", "by twice": f"{covered[1]:.0f} %"}


def run(arguments: list[str]) -> None:
    from metrabs_acae.commands import models
    from metrabs_acae.commands.export import estimator_of
    from metrabs_acae.training.run_folder import open_run

    values = parse(Settings, arguments, PROGRAM, description=__doc__)
    folder = open_run(values.model)
    names = models.load_pose_model(folder)[1].joint_names
    estimator, others = estimator_of(folder), range(error_map.PEOPLE, error_map.PEOPLE + values.people)
    real = [row_of("real video", *real_errors(estimator, names, Path(values.video)))] if values.video else []
    rows = [row_of("rendered", *error_map.rendered_errors(estimator, names, others)), *real]
    headers = {c: f"{c} (entropy)" for c in ("over joints", "within a joint", "over people")}
    text = render(rows, "markdown", headers=headers, digits={"mean error": 0})
    print(text)
    if values.write:
        RESULTS.write_text(f"# Uncertainty\n\n{made_by(PROGRAM, arguments)}\n\n{NOTE}\n\n{text}\n")


def main() -> int:
    return exit_code(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
