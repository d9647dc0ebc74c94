"""Which rows get a mean, and which joints of a store a run that lacks others is asked for."""

from experiments import unseen
from experiments.unseen import MEAN, with_means


def test_a_row_has_a_mean_for_the_seeds_with_all_columns():
    errors = {("small", "a", 1): 10.0, ("small", "b", 1): 20.0, ("small", "a", 2): 30.0, ("full", "b", 2): 5.0}
    found = with_means(errors, 2)
    assert found["small"] == {"a": {1: 10, 2: 30}, "b": {1: 20}, MEAN: {1: 15}}
    assert found["full"] == {"b": {2: 5}}


def test_what_is_missing_is_said(tmp_path, capsys):
    assert unseen.main(["--scale", "small", "--work-dir", str(tmp_path)]) == 2
    assert "run many-datasets" in capsys.readouterr().err
    assert unseen.main(["--scale", "paper"]) == 2
    assert "no store with every skeleton's joints" in capsys.readouterr().err
