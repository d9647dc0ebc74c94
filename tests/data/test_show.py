import cv2
import numpy as np
import pytest

from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.show import show_batches
from metrabs_acae.errors import UserError
from tests.data.stores import write_toy_store


def test_contact_sheet_and_table(tmp_path):
    stores = [
        write_toy_store(tmp_path / "studio", suffix="_a", n=5),
        write_toy_store(tmp_path / "web", kind="2d", n=5, seed=1),
    ]
    mixture = Mixture([Entry(stores[0], "train", 3), Entry(stores[1], "train", 2)], seed=0)
    table = show_batches(mixture, 2, tmp_path / "out" / "sheet.png", image_size=64, augmentations=())
    sheet = cv2.imread(str(tmp_path / "out" / "sheet.png"))
    assert sheet.shape == (2 * 84, 6 * 64, 3)
    assert (sheet[20:84, :64].std() > 10) and (sheet[84 + 20 :, 5 * 64 :] == 24).all()  # 6 and 4 crops
    lines = table.splitlines()
    assert lines[2].split()[:3] == ["studio", "6", "100"] and lines[3].split()[4:6] == ["-", "-"]
    # The camera stands 5 m away; the box holds nearly all joints.
    assert 4.5 < float(lines[2].split()[4]) < 5.5 and int(lines[2].split()[3]) > 80
    with pytest.raises(UserError, match="at least 1"):
        show_batches(mixture, 0, tmp_path / "x.png")
    with pytest.raises(UserError, match="must be a .png or .jpg"):
        show_batches(mixture, 1, tmp_path / "x.unknown", image_size=32)
    assert np.isfinite(sheet).all()
