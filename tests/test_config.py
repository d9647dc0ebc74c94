"""The command line: presets, flags, and one clear sentence for what cannot work."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metrabs_acae import command_line
from metrabs_acae import config as config_lib
from metrabs_acae.data.settings import store_and_count, store_and_split
from metrabs_acae.errors import UserError
from metrabs_acae.flags import flags_of
from metrabs_acae.inference.export_settings import Export
from metrabs_acae.main import main
from metrabs_acae.presets import PRESETS
from metrabs_acae.settings import leaves
from metrabs_acae.training.run_folder import RunFolder, by_name

OLD_RUNS = Path(__file__).parent / "old_runs"


def parse(text: str) -> config_lib.Config:
    return command_line.parse_arguments(text.split(), "metrabs")


def test_presets_give_the_starting_values_and_flags_override_them():
    assert parse("--train") == dataclasses.replace(command_line.preset("default"), verbs=config_lib.Verbs(train=True))
    assert parse("--train --preset paper").augmentation == config_lib.Augmentations()
    paper = parse("--train --preset paper --training-steps 10 --no-geom-aug")
    assert paper.training.training_steps == 10 and paper.training.base_learning_rate == 2.121e-4
    assert paper.data.batch_size == 96 and paper.data.batch_size_2d == 32
    assert not paper.augmentation.geometry.geom_aug and paper.model.backbone == "efficientnetv2-s"
    assert parse("--preset=tiny --train").training.training_steps == command_line.preset("tiny").training.training_steps


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("", "exactly one of --train"),
        ("--train --export", "got --train and --export"),
        ("--train --trainings-steps 5", "Unrecognized options: --trainings-steps"),
        ("--train --training-steps five", "training-steps"),
        ("--train --training-steps 0", "--training-steps must be greater than zero; got 0"),
        ("--train --dtype float64", "float64"),
        ("--train --preset huge", "no preset 'huge'; choose from default"),
        ("--train --preset", "no preset ''"),
        ("--train --proc-side 100", "multiple of 32"),
        ("--train --occlude-aug-prob 1.5", "between 0 and 1"),
        ("--train --scale-aug-down 100", "below 100"),
        ("--train --dynamic-loss-scale", "needs --dtype float16"),
        ("--train --dataset3d store:x", "last colon"),
        ("--train --base-learning-rate nan", "greater than zero"),
        ("--demo photo.jpg --fov 180", "between 0 and 180"),
        ("--evaluate --logdir runs/a", "--logdir is a setting of --train; --evaluate does not use it"),
        ("--evaluate p.npz --test-time-mirror-aug", "is a setting of --train and --evaluate; --evaluate FILE does not"),
        ("--evaluate p.npz --load-path runs/a", "--evaluate FILE does not use it"),
        ("--evaluate --truth store", "--truth is a setting of --evaluate FILE; --evaluate does not use it"),
        ("--predict store --truth store", "--truth is a setting of --evaluate FILE; --predict does not use it"),
        ("--train --load-path runs/a", "--load-path is a setting of --pseudo-labels and --train-acae and"),
        ("--train --n-latents 32", "--n-latents is a setting of --train-acae; --train does not"),
        ("--predict store --fov 40", "--fov is a setting of --demo; --predict does not"),
    ],
)
def test_wrong_arguments_give_one_sentence_and_exit_code_2(arguments, message, capsys):
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err and captured.err.startswith("Error: ") and captured.err.count("\n") == 1


def test_settings_that_several_verbs_use():
    assert parse("--predict store --num-aug 5").demo_settings == parse("--demo photo.jpg --num-aug 5").demo_settings
    assert parse("--train-acae --seed 3").training.seed == 3
    assert parse("--evaluate --test-on store --batch-size-test 8").data.test_on == ("store",)


def test_a_run_that_a_training_starts_from_gives_it_its_network(tmp_path):
    run = parse("--train --preset random-start --depth 4 --box-size-mm 1800 --rot-aug 4")
    RunFolder(tmp_path / "run").create(run.run_settings())
    found = parse(f"--train --init-path {tmp_path / 'run'}")
    assert (found.model.backbone, found.model.depth, found.model.box_size_mm) == ("mobilenetv3-small", 4, 1800)
    assert found.model.trained_convolutions is None and found.augmentation.geometry.rot_aug == 5
    assert found.training == command_line.preset("default").training
    assert parse(f"--train --init-path {tmp_path / 'run'} --proc-side 64").model.proc_side == 64


def test_every_setting_has_one_name_and_every_use_is_a_verb():
    settings = [leaf for leaf in leaves(config_lib.Config()) if leaf.sections and leaf.sections[0].name != "verbs"]
    names = [leaf.name for leaf in settings]
    assert len(set(names)) == len(names)
    verbs = {f.name for f in dataclasses.fields(config_lib.Verbs)}
    for leaf in settings:
        assert leaf.used_by and set(leaf.used_by) <= verbs | {"evaluate FILE"}, leaf.name
        assert "train" in leaf.used_by or not leaf.stored


def test_presets_name_settings_that_there_are():
    for name, (text, values) in PRESETS.items():
        found = {leaf.name: leaf.value for leaf in leaves(command_line.preset(name))}
        assert text and found.items() >= values.items()


def test_flags_give_the_settings_that_they_were_made_from():
    export = Export(detector="none", archive=True, crop_formats=("onnx", "litert"), crop_batch_size=2)
    flags = flags_of(export)
    assert flags == ["--detector", "none", "--crop-formats", "onnx", "litert", "--crop-batch-size", "2", "--archive"]
    assert parse(" ".join(["--export", *flags])).export_settings == export
    assert flags_of(config_lib.Files(export_model=False)) == ["--no-export-model"]


def test_settings_that_decide_the_result_are_all_stored_ones_but_the_free():
    base, other = parse("--train"), parse("--train --workers 3 --checkpoint-period 7 --logdir x --dtype bfloat16")
    changed = {"workers", "checkpoint_period", "dtype"}
    before, after = (by_name(c.run_settings()) for c in (base, other))
    assert {name for name in before if before[name] != after[name]} == changed <= config_lib.FREE_ON_RESUME
    assert "seed" in before and "seed" not in config_lib.FREE_ON_RESUME and "logdir" not in before


@pytest.mark.parametrize(
    "name, flags",
    [
        ("default", "--train --preset random-start"),
        (
            "fine_tuned",
            "--train --preset tiny --variant hybrid --acae acae.npz --init-path runs/tiny-1 --decay-steps 8 "
            "--dataset3d a b:6 --rot-aug 4 --no-color-aug --no-stop-gradient-latent --constrain-kernel-norm inf",
        ),
    ],
)
def test_runs_of_older_versions_are_read_and_gone_on_with(name, flags, tmp_path):
    run = RunFolder(tmp_path)
    (tmp_path / "config.json").write_bytes((OLD_RUNS / f"{name}.json").read_bytes())
    same = {"defaults": config_lib.Config().run_settings(), "free": config_lib.FREE_ON_RESUME}
    run.require_same_settings(parse(flags).run_settings(), **same)
    run.require_same_settings(parse(f"{flags} --workers 3 --log-period 7").run_settings(), **same)
    with pytest.raises(UserError, match=r"--seed \(was 1, now 2\)"):
        run.require_same_settings(parse(f"{flags} --seed 2").run_settings(), **same)
    stored = by_name(json.loads((tmp_path / "config.json").read_text()))
    read = by_name(config_lib.Config().with_run_settings(run.read_json("config.json"), tmp_path).run_settings())
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in read.items() if k in stored} == stored
    with pytest.raises(UserError, match="settings of another version: no_such_setting"):
        config_lib.Config().with_run_settings({"model": {"no_such_setting": 1}}, tmp_path)


def test_help_answers_at_once():
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "metrabs_acae.main", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--training-steps" in done.stdout
    heavy = "import sys, metrabs_acae.main; print([m for m in ('keras', 'tensorflow', 'cv2') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "[]"
    assert time.perf_counter() - began < 10  # an idle machine needs 0.3 s for each


def test_store_paths_with_counts():
    assert store_and_count("a/b:12") == (Path("a/b"), 12)
    assert store_and_count("a/b") == (Path("a/b"), None)
    with pytest.raises(UserError):
        store_and_count("a/b:0")


@pytest.mark.parametrize(
    "text, parts",
    [
        ("a/b:valid", ("a/b", "valid")),
        ("a/b", ("a/b", "train")),
        ("name:valid", ("name", "valid")),
        ("host:dir/b", ("host:dir/b", "train")),
    ],
)
def test_stores_with_splits(text, parts):
    assert store_and_split(text, "train") == parts


def test_another_backbone_starts_as_itself_and_not_as_the_presets():
    default = parse("--train").model
    assert (default.backbone, default.backbone_weights, default.trained_convolutions) == (
        *("blazepose-full-multiscale", "pretrained"),
        30,
    )
    other = parse("--train --backbone mobilenetv3-small").model
    assert (other.backbone_weights, other.trained_convolutions) == ("", None)
    given = parse("--train --backbone mobilenetv2 --backbone-weights pretrained --trained-convolutions 4").model
    assert (given.backbone_weights, given.trained_convolutions) == ("pretrained", 4)
    assert (
        parse("--train --preset paper --backbone efficientnetv2-l --dataset3d a").model.backbone_weights == "imagenet"
    )
