import hashlib
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from data_processing.dataset_info import RemoteFile
from data_processing.download import download, download_dataset, expand_files
from data_processing.registry import DATASETS
from metrabs_acae.errors import UserError

from .http_server import Behaviour, serve

DATA = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
SHA = hashlib.sha256(DATA).hexdigest()


def get(url, path, **kwargs):
    return download(url, path, wait_s=0, **kwargs)


def test_broken_connections_are_resumed_where_they_broke(tmp_path):
    behaviour = Behaviour(DATA)
    behaviour.break_after = [100_000, 50_000]
    with serve(behaviour) as url:
        path = get(url, tmp_path / "sub" / "file", sha256=SHA)
    assert path.read_bytes() == DATA
    assert behaviour.requests == ["", "bytes=100000-", "bytes=150000-"]
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_later_call_resumes(tmp_path):
    behaviour = Behaviour(DATA)
    behaviour.break_after = [100_000] + [0] * 3
    with serve(behaviour) as url:
        with pytest.raises(UserError, match="100,000 bytes are kept"):
            get(url, tmp_path / "file", retries=2)
        assert not (tmp_path / "file").exists()
        behaviour.requests.clear()
        assert get(url, tmp_path / "file").read_bytes() == DATA
    assert behaviour.requests == ["bytes=100000-"]


def test_a_file_that_changed_or_a_server_without_ranges_starts_anew(tmp_path):
    for change in ("etag", "ranges"):
        behaviour = Behaviour(DATA)
        behaviour.break_after = [100_000]
        behaviour.ranges = change != "ranges"
        target = tmp_path / change
        with serve(behaviour) as url:
            if change == "etag":
                with pytest.raises(UserError):
                    get(url, target, retries=-1)
                behaviour.etag, behaviour.data = '"2"', DATA[::-1]
            assert get(url, target).read_bytes() == behaviour.data


def test_a_complete_partial_file_is_recognised(tmp_path):
    behaviour = Behaviour(DATA)
    behaviour.break_after = [len(DATA)]
    with serve(behaviour) as url:
        get(url, tmp_path / "a")
        (tmp_path / "b.part").write_bytes(DATA)
        (tmp_path / "b.part.json").write_text(json.dumps({"validator": '"1"', "size": len(DATA)}))
        assert get(url, tmp_path / "b").read_bytes() == DATA


def test_busy_servers_are_asked_again_and_refusals_are_reported(tmp_path):
    behaviour = Behaviour(DATA)
    behaviour.status = [503, 429]
    with serve(behaviour) as url:
        assert get(url, tmp_path / "file").read_bytes() == DATA
        behaviour.status = [404]
        with pytest.raises(UserError, match="404"):
            get(url, tmp_path / "other")


def test_a_wrong_checksum_is_reported_and_the_file_removed(tmp_path):
    with serve(Behaviour(DATA)) as url, pytest.raises(UserError, match="md5 checksum"):
        get(url, tmp_path / "file", md5="0" * 32)
    assert not list(tmp_path.glob("file*.part")) and not (tmp_path / "file").exists()


def test_a_dataset_is_fetched_and_unpacked_once(tmp_path, capsys):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("images/a.txt", "hello")
    behaviour = Behaviour(buffer.getvalue())
    with serve(behaviour) as url:
        info = replace(DATASETS["coco"], files=(RemoteFile(url, "file.zip", archive=True),))
        download_dataset(info, tmp_path)
        download_dataset(info, tmp_path)
    assert (tmp_path / "images" / "a.txt").read_text() == "hello"
    assert len(behaviour.requests) == 1


def test_what_the_servers_lack_is_passed_over_and_a_mirror_helps(tmp_path):
    broken, behaviour = Behaviour(DATA), Behaviour(DATA)
    with serve(broken) as url, serve(behaviour) as mirror:
        info = replace(DATASETS["coco"], mirrors=((url, mirror),))
        broken.status = [404]
        download_dataset(replace(info, files=(RemoteFile(url + "/a", "a"),)), tmp_path)
        broken.status, behaviour.status = [404], [404]
        download_dataset(replace(info, files=(RemoteFile(url + "/b", "b", may_lack=True),)), tmp_path)
        assert (tmp_path / "a").read_bytes() == DATA and not (tmp_path / "b").exists()
        broken.status = [404]
        with pytest.raises(UserError, match="1 of 1 files failed .*404"):
            download_dataset(replace(DATASETS["coco"], files=(RemoteFile(url + "/c", "c"),)), tmp_path)
    panoptic = DATASETS["panoptic"]
    assert panoptic.mirrors == (("http://domedb.perception.cs.cmu.edu/", "http://vcl.snu.ac.kr/panoptic/"),)
    assert {f.path[-6:-4] for f in panoptic.files if f.may_lack} == {f"{i:02d}" for i in range(31)}


def test_addresses_and_checksums_are_those_of_the_authors():
    (file,) = DATASETS["mupots"].files
    assert file.url == "http://gvv.mpi-inf.mpg.de/projects/SingleShotMultiPerson/MultiPersonTestSet.zip"
    sums = {f.path: f.md5 for f in DATASETS["aspset"].files}
    assert sums["aspset510_v1_test-boxes.tar.gz"] == "ac274c4d76354295fbbaae9bad71f87f"
    assert sum(bool(v) for v in sums.values()) == 8 and not sums["aspset510_v1_common-splits.tar.gz"]


def test_datasets_that_need_a_person_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="Register on the website"):
        download_dataset(DATASETS["h36m"], tmp_path)


def test_files_per_sequence():
    files = list(expand_files(DATASETS["panoptic"], ["160906_band1"]))
    assert len(files) == 33
    assert files[0].url == (
        "http://domedb.perception.cs.cmu.edu/webdata/dataset/160906_band1/calibration_160906_band1.json"
    )
    assert files[-1].path == "160906_band1/hdVideos/hd_00_30.mp4"
    assert len(list(expand_files(DATASETS["panoptic"]))) == 66 * 33
    with pytest.raises(UserError, match="no sequence nope"):
        list(expand_files(DATASETS["panoptic"], ["nope"]))
