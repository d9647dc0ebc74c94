"""Augmentations as objects: their draws, their list, streams that do not touch each other, those of other packages."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from metrabs_acae.data.augmentation.augmentations import Augmentations, register_augmentation
from metrabs_acae.data.augmentation.augmenter import Augmenter
from metrabs_acae.data.augmentation.background import Background
from metrabs_acae.data.augmentation.base import PictureAugmentation
from metrabs_acae.data.augmentation.color import Color
from metrabs_acae.data.augmentation.geometry import Geometry, PartialVisibility
from metrabs_acae.data.augmentation.occlusion import EraseDraw, Occlusion
from metrabs_acae.data.geometric_draw import GeometricDraw, box_part
from metrabs_acae.errors import UserError
from metrabs_acae.settings import setting, settings

STORE_3D = SimpleNamespace(kind="3d", realistic_background=False)
STORE_2D = SimpleNamespace(kind="2d", realistic_background=False)
RENDERED = SimpleNamespace(kind="3d", realistic_background=True)
N = 2000
TOLERANCE = 0.045  # of a share of so many draws, whose standard deviation is at most 0.011


@settings
class Brighter(PictureAugmentation):
    """What somebody may add."""

    amount: int = setting(3, at_least=0)

    def draw(self, rng, store):
        return int(rng.integers(self.amount + 1))

    def apply(self, image, draw, example, crop):
        return image + np.uint8(draw)


def draws(augmentation, store=STORE_3D, n=N):
    return [augmentation.draw(np.random.default_rng(i), store) for i in range(n)]


def share(found) -> float:
    return np.mean([bool(f) for f in found])


def test_geometry_stays_in_its_ranges():
    found = draws(Geometry())
    shift = np.hypot(*np.array([d.shift for d in found]).T)
    assert shift.max() <= 0.1
    # Uniform in a disc: half of the draws lie within 1/sqrt(2) of the radius.
    assert abs((shift < 0.1 / np.sqrt(2)).mean() - 0.5) < 0.05
    zoom, roll = np.array([d.zoom for d in found]), np.array([d.roll_rad for d in found])
    assert 0.75 <= zoom.min() < 0.76 and 1.24 < zoom.max() <= 1.25
    assert np.deg2rad(19.5) < np.abs(roll).max() <= np.deg2rad(20)
    assert abs(share(d.flip for d in found) - 0.5) < 0.05 and not any(d.part for d in found)
    full = np.array([d.roll_rad for d in draws(Geometry(full_rot_aug_prob=0.5))])
    # Half of them anywhere in half a turn to both sides, of which 8/9 lie beyond 20 degrees.
    assert abs((np.abs(full) > np.deg2rad(20)).mean() - 4 / 9) < 0.05 and np.abs(full).max() > 3.1
    # One setting leaves the others' draws as they were.
    assert [d.zoom for d in draws(Geometry(rot_aug=0, shift_aug=0))] == [d.zoom for d in found]


def test_parts_are_squares_inside_the_box():
    parts = [d.part for d in draws(PartialVisibility(partial_visibility_prob=0.5)) if d]
    assert abs(len(parts) / N - 0.5) < TOLERANCE
    assert all(0.5 < s < 1 and x >= 0 and y >= 0 and x + s <= 1 and y + s <= 1 for x, y, s in parts)
    np.testing.assert_allclose(box_part([10, 20, 40, 100], (0, 0, 1)), [-20, 20, 100, 100])


def test_draws_of_two_augmentations_go_together():
    first = GeometricDraw((0.25, 0.5, 0.5), (0.1, 0), 2.0, 0.3, True)
    second = GeometricDraw((0.5, 0, 0.5), (0, 0.2), 0.5, -0.1, True)
    assert first.then(GeometricDraw()) == GeometricDraw().then(first) == first
    both = first.then(second)
    assert both.part == (0.5, 0.5, 0.25) and both.shift == (0.1, 0.2) and both.zoom == 1 and not both.flip
    assert both.roll_rad == pytest.approx(0.2)


def test_backgrounds_and_colours():
    found = draws(Background())
    assert abs(share(found) - 0.7) < TOLERANCE and abs(share(draws(Background(), RENDERED)) - 0.2) < TOLERANCE
    assert not any(draws(Background(background_aug_prob=0.1), RENDERED, 50)[:1])
    assert {int(3 * d.choice) for d in found if d} == {0, 1, 2} and all(1.2 <= d.zoom < 1.5 for d in found if d)
    assert max(np.hypot(*d.shift) for d in found if d) <= 0.1
    colors = draws(Color())
    assert len({c.order for c in colors}) == 24
    for c in colors:
        assert abs(c.brightness) <= 0.125 and 0.5 <= c.contrast <= 1.5 and abs(c.hue_deg) <= 72


def test_occlusion_is_half_objects_half_erasing():
    for store, probability in ((STORE_3D, 0.5), (STORE_2D, 0.7)):
        found = draws(Occlusion(), store)
        erased = [isinstance(d, EraseDraw) for d in found]
        assert abs(share(found) - probability) < TOLERANCE and abs(np.mean(erased) - probability / 2) < TOLERANCE
    objects = [d for d in found if d and not isinstance(d, EraseDraw)]
    assert {len(d) for d in objects} == {1, 2, 3, 4, 5, 6}
    assert {o.index for d in objects for o in d} == set(range(48)) and all(
        0.2 <= o.scale < 1 for d in objects for o in d
    )


def test_nobody_shifts_the_draws_of_others():
    everything = Augmenter(Augmentations().in_order(), 32)
    more = Augmenter([Brighter(), *Augmentations().in_order(), PartialVisibility(partial_visibility_prob=1)][:-2], 32)
    fewer = Augmenter([Color(), Geometry(), Background(background_aug_prob=0)], 32)
    for key in range(50):
        assert everything.draw_camera(key, STORE_3D) == more.draw_camera(key, STORE_3D)
        assert everything.draw_camera(key, STORE_3D) == fewer.draw_camera(key, STORE_3D)
        by_name = [{a.name: d for a, d in x.draw_picture(key, STORE_3D)} for x in (everything, more, fewer)]
        assert by_name[2] == {"Color": by_name[0]["Color"]}
        assert {k: v for k, v in by_name[0].items() if k != "Color"} == {
            k: v for k, v in by_name[1].items() if k != "Brighter"
        }
    plain = Augmenter([], 32)
    assert plain.draw_camera(1, STORE_3D) == GeometricDraw() and plain.draw_picture(1, STORE_3D) == []
    # Streams must stay as they are: runs go on with them.
    assert everything.draw_camera(7, STORE_3D).zoom == pytest.approx(0.8340669165568448, abs=1e-12)


def test_pictures_change_in_order_and_erasing_comes_last():
    augmenter = Augmenter([Background(), Occlusion(occlude_aug_prob=1), Color()], 32)
    orders = {tuple(a.name for a, _ in augmenter.draw_picture(key, STORE_3D)) for key in range(100)}
    assert orders == {
        ("Occlusion", "Color"),
        ("Color", "Occlusion"),
        ("Background", "Occlusion", "Color"),
        ("Background", "Color", "Occlusion"),
    }
    for key in range(100):
        names = {a.name: (i, d) for i, (a, d) in enumerate(augmenter.draw_picture(key, STORE_3D))}
        assert (names["Occlusion"][0] > names["Color"][0]) == isinstance(names["Occlusion"][1], EraseDraw)
    image = np.full((32, 32, 3), 100, np.uint8)
    example, crop = SimpleNamespace(mask=None), None
    for key in range(20):
        changed = Augmenter.apply(image, augmenter.draw_picture(key, STORE_3D), example, crop)
        assert changed.shape == image.shape and changed.dtype == np.uint8 and (image == 100).all()
    with pytest.raises(UserError, match="two augmentations of the name Color"):
        Augmenter([Color(), Color(color_aug=False)], 32)


def test_others_come_from_the_command_line_only(tmp_path, monkeypatch, capsys):
    from metrabs_acae import command_line
    from metrabs_acae.main import main

    (tmp_path / "blurred_module.py").write_text(
        "import sys\n"
        "sys.was_imported = True\n"
        "from tests.data.test_augmentation import Brighter as Base\n"
        "class Blur(Base): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "was_imported", False, raising=False)
    name = "blurred_module:Blur"
    stored = command_line.preset("tiny").with_run_settings({"augmentation": {"augmentation": [name]}}, "config.json")
    assert stored.augmentation.others == (name,)
    with pytest.raises(UserError, match=f"give --augmentation {name} if you trust"):
        stored.augmentation.in_order()
    assert not sys.was_imported
    config = command_line.parse_arguments(["--train", "--augmentation", name], "metrabs")
    assert sys.was_imported and [a.name for a in config.augmentation.in_order()][-2:] == ["Color", "Blur"]
    assert config.run_settings()["augmentation"]["augmentation"] == (name,)
    for wrong, message in (("blurred_module:Nothing", "cannot be imported"), ("sys:path", "is no CameraAugmentation")):
        assert main(["--train", "--augmentation", wrong]) == 2
        assert message in capsys.readouterr().err
    assert main(["--evaluate", "--augmentation", name]) == 2


def test_an_instance_with_its_own_settings_can_be_registered():
    register_augmentation("brighter", Brighter(amount=7))
    assert Augmentations(others=("brighter",)).in_order()[-1] == Brighter(7)
