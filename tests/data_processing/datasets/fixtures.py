"""One small raw folder of each dataset, in its true layout and formats, from the converters' tests."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np


def _of(module: str):
    return importlib.import_module(f"{__package__}.test_{module}")


def _h36m(raw: Path, subject: int) -> None:
    test = _of("h36m")
    test.write_metadata(raw / "Release-v1.2" / "metadata.xml")
    test.write_sequence(raw, subject, "Walking 1", [0.0] * 2)


def _mpi_inf_3dhp(raw: Path) -> None:
    test = _of("3dhp")
    test.write_training(raw, test.walk(test.NAMES, 3, step_mm=60) @ test.Y_UP.T)


def _mpi_inf_3dhp_test(raw: Path) -> None:
    test = _of("3dhp")
    upright = test.pose(test.NAMES_17) @ test.Y_UP.T
    away = test.to_world(test.mpi_inf_3dhp_test.camera_of(6), [0, 0, 4000])
    test.write_test_set(raw, 6, np.stack([upright - upright.mean(0) + away] * 2), valid=[1, 1])


def _with_body_model(module: str, function: str = "write") -> Callable[[Path, str], object]:
    return lambda raw, body_models: getattr(_of(module), function)(raw, body_models)


WRITE: dict[str, Callable[[Path, str], object]] = {
    "surreal": _with_body_model("surreal", "write_clip"),
    "h36m": lambda raw, _: _h36m(raw, 1),
    "h36m-test": lambda raw, _: _h36m(raw, 9),
    "fit3d": lambda raw, _: _of("imar").write(raw, "fit3d", [[0, 150]]),
    "chi3d": lambda raw, _: _of("imar").write(raw, "chi3d", [[-700], [0]]),
    "humansc3d": lambda raw, _: _of("imar").write(raw, "humansc3d", [[0]]),
    "sailvos": lambda raw, _: _of("sailvos").write(raw, {7: [(12, 0, 0), (9, 1000, 500)]}),
    "panoptic": lambda raw, _: _of("panoptic").write(raw, [[(0, 0, 0.9)]]),
    "muco": lambda raw, _: _of("3dhp").write_muco(raw),
    "3dhp": lambda raw, _: _mpi_inf_3dhp(raw),
    "3dhp-test": lambda raw, _: _mpi_inf_3dhp_test(raw),
    "mupots": lambda raw, _: _of("mupots_and_3dpw").write_mupots(raw),
    "3dpw": lambda raw, _: _of("mupots_and_3dpw").write_3dpw(raw),
    "emdb": _with_body_model("emdb"),
    "pose2sim-demo": lambda raw, _: _of("pose2sim_demo").write(raw),
    "aist": lambda raw, _: _of("aist").write(raw, {"1": ("train", [0, 150])}),
    "gpa": lambda raw, _: _of("gpa").write(raw, [(11, 1, 0, True), (12, 1, 120, True)]),
    "humbi": lambda raw, _: _of("humbi").write(raw, {1: 0}),
    "aspset": lambda raw, _: _of("aspset").write(raw, {("04ac", "0003", "train"): ("all", [0])}),
    "agora": lambda raw, _: _of("agora").write(raw),
    "3doh": lambda raw, _: _of("oh50k").write(raw, "trainset", 2),
    "3dpeople": lambda raw, _: _of("three_d_people").write(raw, [0]),
    "bml_movi": lambda raw, _: _of("bml_movi").write_round_f(raw),
    "mads": lambda raw, _: _of("mads").write(raw),
    "umpm": lambda raw, _: _of("umpm").write(raw),
    "bmhad": lambda raw, _: _of("mhad").write(raw),
    "totalcapture": lambda raw, _: _of("totalcapture").write(raw),
    "jta": lambda raw, _: _of("jta").write(raw, _of("jta").WALKING),
    "ikea": lambda raw, _: _of("ikea_asm").write(raw, {0: 0.0, 1: 120.0}),
    "human4d": lambda raw, _: _of("human4d").write(raw, [0.0, 120.0]),
    "behave": _with_body_model("behave"),
    "rich": _with_body_model("rich"),
    "spec": _with_body_model("spec_syn"),
    "hspace": lambda raw, _: _of("hspace").write(raw),
    "bedlam": _with_body_model("bedlam"),
    "coco": lambda raw, _: _of("coco_and_mpii").write_coco(raw),
    "mpii": lambda raw, _: _of("coco_and_mpii").write_mpii(raw),
    "posetrack": lambda raw, _: _of("tracks_2d").write_posetrack(raw),
    "jrdb": lambda raw, _: _of("tracks_2d").write_jrdb(raw),
}
"""Dataset -> a function (raw folder, folder of body models) that writes the raw folder."""
