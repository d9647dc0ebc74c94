"""Photographs in the formats and states that people have them in."""

import io
import sys
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from metrabs_acae.errors import UserError
from metrabs_acae.inference import photographs
from metrabs_acae.inference.exif import focal_length
from metrabs_acae.inference.photographs import read_photograph, to_8_bits

X, Y = np.meshgrid(np.arange(96), np.arange(64))
PICTURE = np.stack([2 * X, 3 * Y, 255 - X - Y], axis=-1).astype(np.uint8)  # smooth: lossy formats keep it
UPRIGHT = Image.fromarray(PICTURE)
ORIENTATION, TURNED_LEFT = 0x0112, 6


def assert_is_picture(image, tolerance=4):
    assert image.dtype == np.uint8 and image.shape == PICTURE.shape
    assert np.abs(image.astype(int) - PICTURE).mean() < tolerance


@pytest.mark.parametrize("name", ["a.jpg", "a.jfif", "a.png", "a.bmp", "a.tif", "a.webp", "a.gif", "a.heic", "a.avif"])
def test_formats(tmp_path, name):
    if name == "a.heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    UPRIGHT.save(tmp_path / name, **({"format": "JPEG"} if name == "a.jfif" else {}))
    assert_is_picture(read_photograph(tmp_path / name).image, 12 if name == "a.gif" else 4)  # 256 colours


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.avif"])
def test_turned_photographs_come_upright(tmp_path, name):
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_LEFT
    Image.fromarray(np.rot90(PICTURE).copy()).save(tmp_path / name, exif=exif)
    assert_is_picture(read_photograph(tmp_path / name).image)


def test_a_heic_picture_called_jpg(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    UPRIGHT.save(tmp_path / "a.heic")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.heic").read_bytes())
    assert_is_picture(read_photograph(tmp_path / "a.jpg").image)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"a HEIC picture; to read it: pip install 'metrabs_acae\[heif\]'"):
        read_photograph(tmp_path / "a.jpg")


def test_a_jpeg_without_its_end_and_one_cut_off(tmp_path):
    data = cv2.imencode(".jpg", PICTURE[..., ::-1])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(data[:-2])
    assert_is_picture(read_photograph(tmp_path / "a.jpg").image)
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="a JPEG file that is cut off"):
        read_photograph(tmp_path / "a.jpg")


@pytest.mark.parametrize(("bits", "suffix"), [(8, "png"), (10, "tif"), (12, "png"), (16, "png")])
def test_sixteen_bits_with_values_of_fewer(tmp_path, bits, suffix):
    values = np.round(PICTURE / 255 * (2**bits - 1)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), values[..., ::-1])
    photograph = read_photograph(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(photograph.image, PICTURE)
    assert photograph.remark == f"{bits}-bit values"


def test_floating_point():
    for top in (1, 255):
        image, _ = to_8_bits(np.float32(PICTURE / 255 * top))
        np.testing.assert_array_equal(image, PICTURE)
    image, remark = to_8_bits(np.float32([[[np.nan, np.inf, 2e5]]]))
    assert image.tolist() == [[[0, 0, 255]]] and remark == "values up to 200000"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jpg", b"", "is empty"),
        ("a.cr2", b"x", "a sensor's raw data"),
        ("a.png", b"no picture", "may be damaged or of an unknown format"),
    ],
)
def test_what_is_no_photograph(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_photograph(tmp_path / name)


def test_claims_of_giant_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "MAX_PIXELS", PICTURE[..., 0].size - 1)
    UPRIGHT.save(tmp_path / "a.png")
    with pytest.raises(UserError, match="claims to be of more than"):
        read_photograph(tmp_path / "a.png")


F, F35, ZOOM, W, H, RESOLUTION, UNIT = 0x920A, 0xA405, 0xA404, 0xA002, 0xA003, 0xA20E, 0xA210


def with_exif(fields, size_wh=(4000, 3000), model=""):
    exif = Image.Exif()
    exif[0x0110] = model
    exif.get_ifd(0x8769).update(fields)
    file = io.BytesIO()
    UPRIGHT.save(file, "JPEG", exif=exif)
    return focal_length(Image.open(file), size_wh)


@pytest.mark.parametrize(
    ("fields", "size_wh", "model", "expected_px"),
    [
        ({F35: 26, F: 5.4}, (4032, 3024), "phone", 26 / 43.2666 * 5040),  # diagonals: 43.27 mm and 5040 px
        ({F35: 26}, (3024, 4032), "phone", 26 / 43.2666 * 5040),
        # a sensor of 3648 px / (1216 px/cm) = 30 mm seen through 50 mm, scaled to half its size
        ({F: 50.0, W: 3648, H: 2736, RESOLUTION: 1216.0, UNIT: 3}, (1824, 1368), "", 50 / 30 * 1824),
        ({F: 50.0, ZOOM: 2.0}, (6000, 4000), "NIKON D850", 2 * 50 / 35.9 * 6000),
        ({F: 5.4}, (4032, 3024), "unknown", None),
        ({F35: 26, W: 4032, H: 3024}, (1000, 1000), "", None),  # cut out of the whole
        ({F35: 1}, (4032, 3024), "", None),  # sees nearly half the world
        ({}, (4032, 3024), "NIKON D850", None),
    ],
)
def test_focal_length_of_exif_data(fields, size_wh, model, expected_px):
    focal = with_exif(fields, size_wh, model)
    assert focal is None if expected_px is None else focal.length_px == pytest.approx(expected_px, rel=1e-4)
    assert focal is None or focal.origin.startswith("EXIF, ")


def test_damaged_exif_data_say_nothing():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[F35] = 26
    data = bytearray(exif.tobytes())
    for i in range(6, len(data)):
        broken = bytes(data[:i]) + b"\xff" + bytes(data[i + 1 :])
        file = io.BytesIO()
        UPRIGHT.save(file, "JPEG", exif=broken)
        picture = Image.open(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing of it is said
            focal = focal_length(picture, (96, 64))
        assert focal is None or np.isfinite(focal.length_px)
