"""The 3D page: what it holds, and, where a browser can be started, what it shows."""

import base64
import json
import os
import re
import shutil

import numpy as np
import pytest

from metrabs_acae.inference import viewer
from metrabs_acae.inference.pose_files import People, PoseLog, Source

NAMES = ("pelv_h36m", "lank_h36m", "rank_h36m", "htop_h36m")
K = np.array([[900, 0, 330], [0, 900, 250], [0, 0, 1.0]])
BODY = np.array([[0, 0, 0], [-150, 850, 0], [150, 850, 100], [0, -850, 0.0]])


UP = (0.0, -np.cos(0.2), -np.sin(0.2))


def people(*positions_mm) -> People:
    poses3d = (BODY + np.array(positions_mm, float).reshape(-1, 1, 3)).astype(np.float32)
    image = poses3d @ K.T
    n = len(poses3d)
    return People(
        person=np.arange(1, n + 1, dtype=np.int32),
        boxes=np.ones((n, 4)),
        scores=np.ones(n),
        poses3d=poses3d,
        poses2d=image[..., :2] / image[..., 2:],
        uncertainty=np.zeros((n, 4)),
        entropy=np.zeros((n, 4)),
    )


FRAMES = [people((-500, 100, 4000), (600, 100, 5000)), people(), people((300, 100, 3000))]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a camera that looks down a little."""
    name = "</script><b>walk.mp4"
    path = tmp_path_factory.mktemp("viewer") / "walk.html"
    source = Source(name, (640, 480), K, "small", NAMES, ((0, 1), (0, 2), (0, 3)), tracked=True, up=UP)
    with PoseLog(source) as log:
        for i, frame in enumerate(FRAMES):
            log.add(i, i / 10, frame)
        viewer.write_viewer(path, log, picture="picture that is not there.png")
    return path


def embedded(text: str, name: str, dtype: str) -> np.ndarray:
    (content,) = re.findall(rf'<script type="text/plain" id="{name}">(.*?)</script>', text)
    return np.frombuffer(base64.b64decode(content, validate=True), dtype)


def test_the_page_holds_the_poses(page):
    text = page.read_text()
    assert "{{" not in text and text.count("</script>") == text.count("<script")
    meta = json.loads(re.search(r'id="meta">(.*?)</script>', text)[1])
    assert meta["source"] == "</script><b>walk.mp4" and meta["joint_names"] == list(NAMES)
    np.testing.assert_allclose(embedded(text, "times", "<f8"), [0, 0.1, 0.2])
    assert embedded(text, "counts", "<i4").tolist() == [2, 0, 1]
    assert embedded(text, "people", "<i4").tolist() == [1, 2, 1]
    poses = embedded(text, "poses", "<f4").reshape(-1, 4, 3)
    np.testing.assert_array_equal(poses, np.concatenate([f.poses3d for f in FRAMES]))


def test_nothing_is_fetched(page):
    """No address anywhere in the page, and a policy that forbids all but files beside it."""
    text = page.read_text()
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", text, flags=re.M))
    assert "default-src 'none'" in text


def test_long_recordings_are_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "_CHUNK_ROWS", 5)
    rows = np.arange(101, dtype=np.int32)
    text = "".join(viewer._base64(rows, "<i4"))
    assert np.frombuffer(base64.b64decode(text, validate=True), "<i4").tolist() == rows.tolist()


def test_floor():
    poses = np.concatenate([f.poses3d for f in FRAMES])
    assert viewer.floor_mm(poses) == pytest.approx(950)
    assert viewer.floor_mm(poses[:0]) == viewer.FLOOR_WITHOUT_PEOPLE_MM
    stray = poses.copy()
    stray[0, 0] = np.nan
    assert viewer.floor_mm(stray) == pytest.approx(950)
    pitched = viewer.level([0, -np.cos(0.3), -np.sin(0.3)])  # a camera that looks down
    np.testing.assert_allclose(pitched @ [0, -np.cos(0.3), -np.sin(0.3)], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(pitched[0], [1, 0, 0], atol=1e-12)
    assert viewer.floor_mm(poses @ pitched, [0, -np.cos(0.3), -np.sin(0.3)]) == pytest.approx(950, abs=0.01)


@pytest.fixture(scope="module")
def tab(page):
    """The page in a headless Chromium: that of playwright, of $CHROMIUM or of the system."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as p:
        try:
            browser = p.chromium.launch(
                executable_path=executable, args=["--no-sandbox", "--single-process", "--no-zygote", "--disable-gpu"]
            )
        except playwright.Error as error:
            pytest.skip(f"no browser can be started: {str(error).splitlines()[0]}")
        tab = browser.new_page(viewport={"width": 800, "height": 600})
        tab.problems, tab.requests = [], []
        tab.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto(page.as_uri())
        yield tab
        browser.close()


def test_browser_shows_the_camera_view_as_the_photograph(tab):
    """In the camera view joints lie where the poses' 2D coordinates are, up to the scale of the canvas."""
    tab.evaluate("viewer.lookFrom('camera'); viewer.show(0)")
    width, height = tab.evaluate("[canvas.clientWidth, canvas.clientHeight]")
    scale = min(width / 640, height / 480)
    seen = np.array(tab.evaluate("[0, 1].map(row => [0, 1, 2, 3].map(j => viewer.project(viewer.joint(row, j))))"))
    levelled = np.array(tab.evaluate("[0, 1].map(row => [0, 1, 2, 3].map(j => viewer.joint(row, j)))"))
    np.testing.assert_allclose(levelled[..., 1], FRAMES[0].poses3d @ -np.array(UP), atol=0.01)
    expected = (FRAMES[0].poses2d - [639 / 2, 479 / 2]) * scale + [width / 2, height / 2]
    np.testing.assert_allclose(seen[..., :2], expected, atol=0.01)
    np.testing.assert_allclose(seen[..., 2], FRAMES[0].poses3d[..., 2], atol=0.1)
    assert tab.problems == []


def wait_until(tab, expression):
    """The page's policy forbids what playwright's own waiting does."""
    for _ in range(400):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(50)
    pytest.fail(f"still not {expression}")


def test_browser_slider_orbit_and_buttons(tab):
    tab.evaluate("viewer.lookFrom('free'); viewer.show(0)")
    assert "frame 1 of 3, 2 people" in tab.inner_text("#clock")
    first = tab.screenshot()
    tab.evaluate("const s = document.getElementById('slider'); s.value = 1; s.dispatchEvent(new Event('input'))")
    assert "frame 2 of 3, 0 people" in tab.inner_text("#clock") and tab.screenshot() != first
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("viewer.frame") == 2
    before = tab.evaluate("({...viewer.view})")
    tab.mouse.move(400, 300)
    tab.mouse.down()
    tab.mouse.move(500, 260)
    tab.mouse.up()
    after = tab.evaluate("({...viewer.view})")
    assert after["yaw"] != before["yaw"] and after["pitch"] != before["pitch"]
    tab.mouse.wheel(0, 300)
    wait_until(tab, f"viewer.view.distance > {after['distance']}")
    tab.click("text=Side")
    assert tab.evaluate("viewer.view.yaw") == pytest.approx(np.pi / 2)
    tab.evaluate("viewer.show(0); viewer.setPlaying(true)")
    wait_until(tab, "viewer.frame === 2")
    assert tab.problems == []


def test_browser_loads_only_the_page_and_the_picture_beside_it(tab, page):
    assert tab.requests[0] == page.as_uri() and len(tab.requests) == 2
    assert all(url.startswith("file:") for url in tab.requests)
