"""From a pose file to an autoencoder, a report and pictures by one command."""

import dataclasses
import inspect
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from metrabs_acae.acae import Acae, fit_acae
from metrabs_acae.acae.__main__ import Fit, main
from metrabs_acae.acae.command import split_rows
from metrabs_acae.acae.settings import AcaeFit
from metrabs_acae.flags import parse
from tests.golden import golden


def test_fit_command_writes_autoencoder_report_and_pictures(tmp_path, capsys):
    arrays = golden("acae_poses")
    np.savez(tmp_path / "poses.npz", **arrays)
    out = tmp_path / "acae.npz"
    flags = "--n-latents 16 --n-center-latents 4 --steps 120 --n-restarts 2 --threshold 0.001".split()
    assert main(["fit", str(tmp_path / "poses.npz"), str(out), *flags]) == 0
    assert "20 of them held out" in capsys.readouterr().out
    acae = Acae.load(out)
    acae.require_joints(arrays["joint_names"])
    assert acae.settings["n_poses"] == 180
    numbers = json.loads((tmp_path / "acae-report" / "report.json").read_text())
    assert numbers["held_out"] and numbers["n_poses"] == 20
    assert numbers["asymmetry_mm"] < 1e-9
    assert set(numbers["skeletons"]) == {"h36m", "coco", "smpl", "cmu", "mpi", "dh"}
    text = " ".join((tmp_path / "acae-report" / "report.md").read_text().split())
    assert "| smpl | 21 |" in text and "lwri" in text
    for name in ("weights", "latents", "errors"):
        picture = cv2.imread(str(tmp_path / "acae-report" / f"{name}.png"))
        assert picture is not None and picture.std() > 5


def test_bad_input_ends_with_code_2_and_one_sentence(tmp_path, capsys):
    assert main(["fit", str(tmp_path / "none.npz"), str(tmp_path / "acae.npz")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: There is no pose file") and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("fit a.npz b.npz --steps 0", "--steps must be greater than zero; got 0."),
        ("fit a.npz b.npz --weights positive", "invalid choice 'positive'"),
        ("fit a.npz b.npz --acae-steps 3", "Unrecognized options: --acae-steps"),
        ("fot", "There is no command 'fot'; known ones: fit, convert, skeletons."),
        ("convert a.npz b.npz --from h36m", "--to"),
    ],
)
def test_wrong_flags_end_likewise(arguments, sentence, capsys):
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1 and sentence in captured.err
    assert captured.out == ""


def test_both_programs_have_the_settings_of_the_fit():
    arguments = list(inspect.signature(fit_acae).parameters.values())
    defaults = {a.name: a.default for a in arguments}
    of_fit = dataclasses.asdict(AcaeFit())
    del of_fit["head_weight"], of_fit["threshold"]
    assert defaults.items() >= of_fit.items()
    assert parse(Fit, ["a.npz", "b.npz", "--steps", "7"], "x", name=lambda f: f.name).fit == AcaeFit(steps=7)


def test_held_out_rows_are_every_tenth_block():
    train, test = split_rows(1000)
    assert len(test) == 100 and test[:3].tolist() == [90, 91, 92]
    assert not set(train) & set(test) and len(train) + len(test) == 1000
    assert split_rows(50)[1] is None


def test_help_does_not_load_the_heavy_libraries():
    code = (
        "import sys, metrabs_acae.acae.__main__ as m\n"
        "try: m.main(['fit', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'numba', 'matplotlib', 'scipy', 'h5py'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
