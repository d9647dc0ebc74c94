import cv2
import numpy as np
import pytest

from metrabs_acae.data import jpeg
from metrabs_acae.data.crop import crop_camera, render, visible_window
from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from tests.data.stores import picture


@pytest.fixture(scope="module")
def image():
    return picture(np.random.default_rng(0), 310, 210) // 2 + np.random.default_rng(1).integers(
        0, 99, (210, 310, 3), dtype=np.uint8
    )


def files(image):
    """Files of all layouts by name: with tiles, as OpenCV writes them, other samplings, one component, progressive."""
    options = {
        "plain": [],
        "444": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        "422, rows": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
        + [cv2.IMWRITE_JPEG_RST_INTERVAL, 20],
        "odd interval": [cv2.IMWRITE_JPEG_RST_INTERVAL, 7],
        "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    }
    found = {name: cv2.imencode(".jpg", image, o)[1].tobytes() for name, o in options.items()}
    found["grey"] = cv2.imencode(".jpg", image[..., 0], [cv2.IMWRITE_JPEG_RST_INTERVAL, 3])[1].tobytes()
    return found | {"tiles": jpeg.encode(image)}


def test_windows_are_exactly_parts_of_the_whole(image):
    rng = np.random.default_rng(2)
    for name, data in files(image).items():
        layout = jpeg.read_layout(data)
        assert (layout.width, layout.height, layout.channels) == (310, 210, 1 if name == "grey" else 3)
        for reduction in (1, 2, 4, 8):
            whole, corner = jpeg.decode(data, layout, None, reduction)
            assert corner == (0, 0) and whole.shape == (-(-210 // reduction), -(-310 // reduction), 4)
            for _ in range(8):
                left, right = np.sort(rng.integers(-20, 330, 2)).tolist()
                top, bottom = np.sort(rng.integers(-20, 240, 2)).tolist()
                part, (x, y) = jpeg.decode(data, layout, (left, top, right, bottom), reduction)
                left, top = max(left, 0), max(top, 0)
                x0, y0 = -(-left // reduction), -(-top // reduction)
                x1, y1 = min(right, 310) // reduction, min(bottom, 210) // reduction
                if x0 < x1 and y0 < y1:
                    x, y = x // reduction, y // reduction
                    np.testing.assert_array_equal(part[y0 - y : y1 - y, x0 - x : x1 - x], whole[y0:y1, x0:x1], name)
        if name in ("tiles", "grey"):
            assert jpeg.decode(data, layout, (100, 90, 140, 120))[0].size < whole_size(data, layout) / 4


def whole_size(data, layout):
    return jpeg.decode(data, layout)[0].size


def test_pixels_are_those_of_opencv(image):
    data = jpeg.encode(image)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(jpeg.decode(data, jpeg.read_layout(data))[0][..., :3], expected)
    plain = len(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    assert len(data) < 1.03 * plain


@pytest.mark.parametrize(("n_blocks", "interval"), [(40, 4), (63, 3), (1, 1), (2, 2), (7, 7), (25, 5), (61, 61)])
def test_tiles_divide_rows(n_blocks, interval):
    assert jpeg.restart_interval(n_blocks) == interval


def test_foreign_markers_are_not_trusted(image):
    data = bytearray(jpeg.encode(image))
    place = data.index(b"\xff\xd3")
    data[place + 1] = 0xD5
    layout = jpeg.read_layout(bytes(data))
    part, corner = jpeg.decode(bytes(data), layout, (150, 100, 170, 120))
    assert corner == (0, 0) and part.shape[1] == 310  # as a file without tiles


def test_broken_files(image):
    data = jpeg.encode(image)
    for broken in (b"", b"\xff\xd8", data[:100], b"\x89PNG" + data, b"\xff\xd8" + bytes(50)):
        with pytest.raises(ValueError, match="JPEG"):
            jpeg.read_layout(broken)
        with pytest.raises(ValueError, match="JPEG"):
            jpeg.read_size_wh(broken[:100])
    layout = jpeg.read_layout(data)
    assert jpeg.read_size_wh(data[: layout.frame + 4]) == (layout.width, layout.height)
    with pytest.raises(UserError, match="uint8"):
        jpeg.encode(image.astype(np.float32))


@pytest.mark.parametrize("lens", [None, (-0.2, 0.05, 0.001, 0.002, 0), Lens.fisheye((0.1, -0.02, 0, 0))])
def test_a_crop_needs_its_visible_window_only(image, lens):
    """Rendering the window gives what rendering the whole image does, wherever the box lies."""
    K = np.array([[320.0, 0, 150], [0, 330, 105], [0, 0, 1]])
    camera = CameraParams(np.eye(3), np.zeros(3), K, lens, np.array([0, -1.0, 0]))
    rng = np.random.default_rng(3)
    for _ in range(20):
        box = np.array([*rng.uniform(-20, 250, 2), *rng.uniform(20, 120, 2)])
        crop = crop_camera(camera, box, 64)
        left, top, right, bottom = visible_window(crop, 64)
        whole = render(image, crop, 64)
        x, y = min(max(left, 0), 296), min(max(top, 0), 206)
        part = image[y : max(bottom, y + 4), x : max(right, x + 4)]
        found = render(np.ascontiguousarray(part), crop, 64, corner=(x, y))
        difference = np.abs(found.astype(int) - whole)
        assert difference.max() <= 1 and (difference > 0).mean() < 2e-3  # rounding of the positions
