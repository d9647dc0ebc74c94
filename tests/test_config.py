"""The command line: presets, flags, and one clear sentence for what cannot work."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import pytest

from metrabs_acae import command_line
from metrabs_acae import config as config_lib
from metrabs_acae.errors import UserError
from metrabs_acae.main import main


def parse(text: str) -> config_lib.Config:
    return command_line.parse_arguments(text.split(), "metrabs")


def test_presets_give_the_starting_values_and_flags_override_them():
    assert parse("--train") == dataclasses.replace(command_line.preset("default"), verbs=config_lib.Verbs(train=True))
    assert parse("--train --preset paper").augmentation == config_lib.Augmentation()
    paper = parse("--train --preset paper --training-steps 10 --no-geom-aug")
    assert paper.training.training_steps == 10 and paper.training.base_learning_rate == 2.121e-4
    assert paper.data.batch_size == 96 and paper.data.batch_size_2d == 32
    assert not paper.augmentation.geom_aug and paper.model.backbone == "efficientnetv2-s"
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


def test_every_use_that_is_named_is_of_a_setting_and_a_verb():
    sections = {f.name: f.default_factory for f in dataclasses.fields(config_lib.Config) if f.name != "preset"}
    settings = {f.name for section in sections.values() for f in dataclasses.fields(section)}
    assert set(command_line.USED_BY) <= settings | set(sections)
    assert set(sections) - {"verbs"} <= set(command_line.USED_BY)
    verbs = {f.name for f in dataclasses.fields(config_lib.Verbs)}
    assert all(set(used) <= verbs | {"evaluate FILE"} for used in command_line.USED_BY.values())


def test_flags_give_the_settings_that_they_were_made_from():
    export = config_lib.Export(detector="none", archive=True, crop_formats=("onnx", "litert"), crop_batch_size=2)
    flags = config_lib.flags_of(export)
    assert flags == ["--detector", "none", "--crop-formats", "onnx", "litert", "--crop-batch-size", "2", "--archive"]
    assert parse(" ".join(["--export", *flags])).export_settings == export
    assert config_lib.flags_of(config_lib.Files(export_model=False)) == ["--no-export-model"]


def test_settings_that_decide_the_result_are_all_but_the_free_ones():
    base, other = parse("--train"), parse("--train --workers 3 --checkpoint-period 7 --logdir x")
    assert base.run_settings() == other.run_settings()
    assert base.run_settings() != parse("--train --seed 3").run_settings()


def test_help_answers_at_once():
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "metrabs_acae.main", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--training-steps" in done.stdout
    heavy = "import sys, metrabs_acae.main; print([m for m in ('keras', 'tensorflow', 'cv2') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "[]"
    assert time.perf_counter() - began < 10  # an idle machine needs 0.3 s for each


def test_store_paths_with_counts():
    assert config_lib.store_and_count("a/b:12") == (config_lib.Path("a/b"), 12)
    assert config_lib.store_and_count("a/b") == (config_lib.Path("a/b"), None)
    with pytest.raises(UserError):
        config_lib.store_and_count("a/b:0")
