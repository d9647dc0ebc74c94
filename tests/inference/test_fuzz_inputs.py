"""Damaged files end in results or a sentence. `python -m benchmarks.fuzz_inputs` tries a thousand."""

import numpy as np
import pytest

from tests.inference import fuzzing_inputs


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return fuzzing_inputs.originals(tmp_path_factory.mktemp("fuzz") / "originals")


@pytest.mark.parametrize("seed", [0, 1])
def test_pictures_and_videos(loaded_model, files, tmp_path, seed):
    rng = np.random.default_rng(seed)
    outcomes = fuzzing_inputs.check_folder(loaded_model, tmp_path / "folder", files["picture"], rng, 20)
    assert outcomes.total() == 20 and min(outcomes["done"], outcomes["refused"]) > 2


@pytest.mark.parametrize("kind", ["camera", "boxes"])
def test_cameras_and_boxes(files, tmp_path, kind):
    rng = np.random.default_rng(0)
    outcomes = {fuzzing_inputs.check_text(kind, tmp_path / f"{i}", files[kind], rng) for i in range(60)}
    assert "refused" in outcomes
