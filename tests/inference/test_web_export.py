"""The folder of the web page: what is in it, and what is said where the runtime cannot be had."""

from __future__ import annotations

import io
import json
import re
import tarfile

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.inference import web_export

onnx = pytest.importorskip("onnx")

SKELETONS = {"": {"joint_names": ["a", "b"], "edges": [[0, 1]], "indices": [0, 1]}}


@pytest.fixture
def package(tmp_path):
    """A folder with the names of the npm package's files."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "9.9.9"}')
    for files in web_export._RUNTIMES.values():
        for name in files.values():
            (folder / "dist" / name).write_text(name)
    return folder


def write_network(path, weights: np.ndarray) -> None:
    """x [n] -> x @ weights."""
    helper = onnx.helper
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [None, s]) for n, s in (("x", 2000), ("y", 3))]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [onnx.numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def exported(tmp_path):
    """What the page takes of an exported model."""
    portable = tmp_path / "exported" / "portable"
    portable.mkdir(parents=True)
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(2000, 3)).astype(np.float16).astype(np.float32)
    write_network(portable / "detector.onnx", exact)
    write_network(portable / "pose.onnx", rng.normal(size=(2000, 3)).astype(np.float32))
    (portable / "portable.json").write_text(json.dumps({"image_size": 256, "skeletons": SKELETONS}))
    (portable.parent / "model_card.md").write_text("# Card")
    return portable.parent


def test_page_names_only_files_that_are_there(package, exported, tmp_path):
    page = tmp_path / "new" / "page"
    runtime = web_export.read_runtime(str(package))
    for _ in range(2):  # an older page is replaced
        web_export.write_page(page, exported, runtime=runtime, name="tiny")
    assert [p.name for p in page.parent.iterdir()] == ["page"]
    described = json.loads((page / "page.json").read_text())
    named = [*described["models"].values()]
    named += [name for files in described["runtimes"].values() for name in files.values()]
    assert all((page / name).is_file() for name in named) and len(set(named)) == len(named) == 8
    assert not list(page.rglob("*.mjs"))  # not every file server knows them as scripts
    assert described["skeletons"] == SKELETONS and "onnxruntime-web 9.9.9" in described["about"]
    loaded = [page / "model" / "pose.onnx", page / "model" / "detector.onnx"]
    assert described["bytes"] == sum(p.stat().st_size for p in loaded) + len("ort-wasm-simd-threaded.wasm")
    assert (page / "runtime" / "ort.wasm.min.js").read_text() == "ort.wasm.min.mjs"
    assert (page / "model" / "model_card.txt").read_text() == "# Card"
    assert page.stat().st_mode & 0o777 == 0o755 and (page / "main.js").stat().st_mode & 0o777 == 0o644


def test_weights_take_half_the_room_where_that_loses_nothing(exported, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = {"x": np.random.default_rng(1).normal(size=(4, 2000)).astype(np.float32)}
    for name, largest in (("detector", 13_000), ("pose", 25_000)):
        source, target = exported / "portable" / f"{name}.onnx", tmp_path / f"{name}.onnx"
        web_export.write_compact(source, target)
        assert 12_000 < target.stat().st_size < largest
        before, after = (runtime.InferenceSession(p).run(None, x)[0] for p in (source, target))
        np.testing.assert_array_equal(after, before)


def test_another_folder_is_not_replaced(package, exported, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(UserError, match="mine exists and is not an exported model"):
        web_export.write_page(tmp_path / "mine", exported, runtime=web_export.read_runtime(str(package)), name="tiny")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["index.html"]


def test_sources_load_nothing_from_elsewhere():
    """Every import and link is a file of the page."""
    files = {path.name: path.read_text() for path in web_export.PAGE.iterdir()}
    for name, text in files.items():
        assert set(re.findall(r"https?://(\w+)", text)) <= {"localhost"}, name
        for target in re.findall(r'(?:from "\./|src="|href="|Worker\(")([\w.]+)"', text):
            assert target in files, target
    assert "connect-src 'self'" in files["index.html"]


def test_the_runtime_as_npm_packs_it(package, tmp_path):
    with tarfile.open(tmp_path / "ort.tgz", "w:gz") as archive:
        archive.add(package, "package")
    assert web_export.read_runtime(str(tmp_path / "ort.tgz")) == web_export.read_runtime(str(package))


def test_npm_fetches_the_version_that_was_tried(package, tmp_path, monkeypatch):
    def run(command, cwd, **settings):
        assert command == ["npm", "pack", f"onnxruntime-web@{web_export.TRIED_VERSION}"]
        with tarfile.open(f"{cwd}/onnxruntime-web.tgz", "w:gz") as archive:
            archive.add(package, "package")
        return web_export.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(web_export.subprocess, "run", run)
    assert web_export.read_runtime("")[1] == "9.9.9"


def other_package(folder):
    (folder / "package.json").write_text('{"name": "left-pad"}')


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (other_package, "is the npm package left-pad, not onnxruntime-web"),
        (lambda folder: (folder / "dist" / "ort.wasm.min.mjs").unlink(), "lacks a file of the npm package"),
        (lambda folder: (folder / "package.json").write_text("{"), "lacks a file of the npm package"),
    ],
)
def test_another_package_is_refused(package, spoil, sentence):
    spoil(package)
    with pytest.raises(UserError, match=sentence):
        web_export.read_runtime(str(package))


def test_what_is_no_package_is_refused(tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"nothing")
    for path in (tmp_path / "a.tgz", tmp_path / "nowhere.tgz"):
        with pytest.raises(UserError, match="is not the npm package onnxruntime-web as a folder or .tgz"):
            web_export.read_runtime(str(path))
    with tarfile.open(tmp_path / "b.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("package/package.json")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    with pytest.raises(UserError, match="lacks a file"):
        web_export.read_runtime(str(tmp_path / "b.tgz"))


@pytest.mark.parametrize("broken", [FileNotFoundError("no npm"), (1, "npm ERR! no network")])
def test_without_npm_or_network_the_way_round_is_told(monkeypatch, broken):
    def run(command, **settings):
        if isinstance(broken, Exception):
            raise broken
        return web_export.subprocess.CompletedProcess(command, broken[0], "", broken[1])

    monkeypatch.setattr(web_export.subprocess, "run", run)
    with pytest.raises(UserError, match="no n.*; get onnxruntime-web@.* and name the file with --web-runtime"):
        web_export.read_runtime("")
