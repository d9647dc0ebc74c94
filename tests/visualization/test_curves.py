"""Curves are drawn from any metrics file that a run can leave behind."""

import cv2
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.visualization import curves

TEXT = "step,loss,val_loss,val_mpjpe\n1,10,,\n2,5,6,300\n3,0.5,nan,\n4,1"


def test_curves_of_an_interrupted_run(tmp_path):
    (tmp_path / "metrics.csv").write_text(TEXT)
    columns = curves.read_metrics(tmp_path / "metrics.csv")
    assert columns["step"].tolist() == [1, 2, 3]
    curves.plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "metrics.csv"]


def test_a_run_that_has_only_begun(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss\n")
    curves.plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_wrong_files(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        curves.plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column 'step'"):
        curves.read_metrics(tmp_path / "metrics.csv")
