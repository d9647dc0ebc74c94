"""The page in a real browser: `python -m pytest tests/web --web-runtime onnxruntime-web-1.30.0.tgz`, see docs/web.md.

Skipped where the runtime, Chromium or the Python package playwright are missing.
"""

from __future__ import annotations

import datetime
import functools
import http.server
import json
import os
import platform
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("web page")
    group.addoption("--web-runtime", help="folder or .tgz of the npm package onnxruntime-web")
    group.addoption("--web-photographs", help="folder of photographs to compare on, besides rendered pictures")
    group.addoption("--web-axe", help="axe.min.js of the npm package axe-core, to check accessibility")
    group.addoption("--web-folder", help="where the exported model and page are kept for the next time")
    group.addoption("--web-results", help="JSON file to write what was measured to")
    group.addoption("--web-browser-args", default="", help="more flags for Chromium, separated by spaces")


@dataclass
class Exported:
    """A SavedModel and the page of the same model; what was measured on them."""

    model: Path
    page: Path
    measured: dict = field(default_factory=dict)

    @functools.cached_property
    def estimator(self):
        import tensorflow as tf

        return tf.saved_model.load(str(self.model))


@pytest.fixture(scope="session")
def option(request):
    return lambda name: request.config.getoption(f"--web-{name}", default=None)


@pytest.fixture(scope="session")
def exported(option, tmp_path_factory):
    """The model in the box, exported; afterwards the results are written."""
    if not option("runtime"):
        pytest.skip("needs --web-runtime")
    folder = Path(option("folder") or tmp_path_factory.mktemp("web"))
    found = Exported(folder / "model", folder / "page")
    if not found.page.exists():
        from metrabs_acae.main import main

        arguments = ["--export-file", str(found.model), "--web", str(found.page), "--web-runtime", option("runtime")]
        assert main(["--export", "--load-path", "pretrained", *arguments]) == 0
    yield found
    if option("results") and found.measured:
        measured = {"date": datetime.date.today().isoformat(), "machine": machine(), **found.measured}
        Path(option("results")).write_text(json.dumps(measured, indent=1) + "\n")


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores"


@pytest.fixture(scope="session")
def browser_program() -> str:
    pytest.importorskip("playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or pytest.skip("needs Chromium")


@pytest.fixture(scope="session")
def launch(browser_program, option):
    """A function of more flags that starts a browser without a network and without extra rights."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:

        def launch(*flags: str):
            offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"
            flags = ["--no-sandbox", offline, *flags, *(option("browser-args") or "").split()]
            return playwright.chromium.launch(executable_path=browser_program, args=flags)

        yield launch


@pytest.fixture(scope="session")
def browser(launch, exported):
    browser = launch()
    exported.measured["browser"] = f"Chromium {browser.version}"
    yield browser
    browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def serve():
    """A function of a folder that gives its address on a plain file server."""
    servers = []

    def serve(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://localhost:{servers[-1].server_address[1]}/index.html"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def address(serve, exported):
    return serve(exported.page)


@pytest.fixture
def watched():
    """A function that makes a tab of a browser whose errors, and requests to elsewhere, fail the test."""
    complaints = []

    def watched(browser, **settings):
        tab = browser.new_context(viewport={"width": 1280, "height": 900}, **settings).new_page()
        tab.on("console", lambda m: m.type in ("error", "warning") and complaints.append(f"{m.type}: {m.text}"))
        tab.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        is_own = ("http://localhost:", "data:", "blob:")
        tab.context.on("request", lambda r: r.url.startswith(is_own) or complaints.append(f"request: {r.url}"))
        tab.complaints = complaints
        return tab

    yield watched
    assert complaints == []


@pytest.fixture
def tab(browser, address, watched):
    """The page, loading."""
    tab = watched(browser)
    tab.goto(address)
    yield tab
    tab.context.close()


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> list[Path]:
    """PNG files of synthetic pictures with one or two people."""
    import cv2
    import numpy as np

    from data_processing.synthetic.generate import generate
    from metrabs_acae.data.store import PoseStore

    folder = tmp_path_factory.mktemp("rendered")
    files = []
    for path in generate(folder / "stores", size="tiny", stores=["synthetic-mupots-test", "synthetic-3dpw-test"]):
        store = PoseStore(path)
        keys = dict.fromkeys(store.row("test", i).image_key for i in range(12))
        for key in list(keys)[:3]:
            files.append(folder / f"{path.name}-{Path(key).stem}.png")
            picture = cv2.imdecode(np.frombuffer(store.images.read(key), np.uint8), cv2.IMREAD_COLOR)
            cv2.imwrite(str(files[-1]), cv2.resize(picture, None, fx=len(files), fy=len(files)))
    return files
