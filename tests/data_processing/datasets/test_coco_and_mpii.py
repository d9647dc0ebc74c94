import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from data_processing import masks
from data_processing.datasets.coco import KEYPOINT_NAMES
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError

from ..people import rows_of

REAL = Path(__file__).parents[4] / "shared" / "real"
SIZE = (320, 400)


def standing(scale=1.0):
    """17 keypoints of a person of about 300 px, COCO's order."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(100, 200, 17), np.linspace(50, 350, 17)], 1) * scale


def annotation(number, image_id, keypoints, visibility, **extra):
    table = np.concatenate([np.where(visibility[:, None] > 0, keypoints, 0), visibility[:, None]], 1)
    polygon = [[100, 50, 200, 50, 200, 350, 100, 350]]
    return {
        **{"id": number, "image_id": image_id, "iscrowd": 0, "category_id": 1, "bbox": [95.0, 45.0, 110.0, 310.0]},
        **{"keypoints": np.round(table).astype(int).ravel().tolist(), "segmentation": polygon, "area": 1.0},
        **{"num_keypoints": int((visibility > 0).sum())},
        **extra,
    }


def write_coco(raw, part="train2014"):
    all_visible, few = np.full(17, 2), np.where(np.arange(17) < 5, 2, 0)
    hidden = np.where(np.arange(17) % 2, 0, np.where(np.arange(17) < 11, 2, 1))
    annotations = [
        annotation(1, 7, standing(), all_visible),
        annotation(2, 7, standing(), hidden, segmentation={"size": [400, 320], "counts": [320 * 400]}),
        annotation(3, 7, standing(), few),
        annotation(4, 7, standing(0.5), all_visible),
        annotation(5, 7, standing(), all_visible, iscrowd=1),
        annotation(6, 8, standing(), all_visible),
        annotation(7, 9, standing(), all_visible),
    ]
    images = [{"id": i, "file_name": f"COCO_{part}_{i:012d}.jpg", "width": 320, "height": 400} for i in (7, 8, 9, 10)]
    data = {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": KEYPOINT_NAMES}],
    }
    (raw / "annotations").mkdir(parents=True, exist_ok=True)
    (raw / "annotations" / f"person_keypoints_{part}.json").write_text(json.dumps(data))
    (raw / part).mkdir()
    for i in (7, 8):
        image = encode_jpeg(np.full((400, 320, 3), 10 * i, np.uint8))
        (raw / part / f"COCO_{part}_{i:012d}.jpg").write_bytes(image if i == 7 else image[:50])
    return data


def test_coco(tmp_path, converted):
    data = write_coco(tmp_path / "raw")
    store = converted("coco", tmp_path / "raw")
    assert store.kind == "2d" and store.splits == {"train": 2}
    assert store.skeleton.joint_names[:3] == ("nose", "leye", "reye")
    rows = [store.row("train", i) for i in range(2)]
    assert [r.person for r in rows] == [1, 2]
    np.testing.assert_allclose(rows[0].coords, np.round(standing()), atol=1e-4)
    assert np.isnan(rows[1].coords[:, 0]).tolist() == [False, True] * 8 + [False]
    np.testing.assert_allclose(rows[0].box_ltwh_px, data["annotations"][0]["bbox"])
    mask = masks.decode(rows[0].mask)
    assert mask.shape == (400, 320) and mask.sum() == pytest.approx(100 * 300, rel=0.05)
    assert masks.decode(rows[1].mask).sum() == 0
    assert rows[0].image_path.read_bytes() == (tmp_path / "raw/train2014/COCO_train2014_000000000007.jpg").read_bytes()
    assert store.metadata["provenance"]["left_out"] == {
        "image missing or broken": 2,
        "too few joints are visible or labelled": 1,
        "person too small": 1,
        "a crowd": 1,
    }


def change(raw, edit, part="train2014"):
    path = raw / "annotations" / f"person_keypoints_{part}.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def test_annotations_of_other_categories_are_no_people(tmp_path, converted):
    write_coco(tmp_path / "raw")

    def add_a_horse(data):
        data["categories"].append({"id": 19, "name": "horse"})
        data["annotations"].append(annotation(99, 7, standing(), np.full(17, 2), category_id=19))

    change(tmp_path / "raw", add_a_horse)
    assert [r.person for r in rows_of(converted("coco", tmp_path / "raw"))] == [1, 2]


def test_where_flags_are_only_0_and_1_labelled_joints_count_as_visible(tmp_path, converted):
    write_coco(tmp_path / "raw")

    def flatten(data):
        for a in data["annotations"]:
            a["keypoints"][2::3] = [min(1, v) for v in a["keypoints"][2::3]]

    change(tmp_path / "raw", flatten)
    assert [r.person for r in rows_of(converted("coco", tmp_path / "raw"))] == [1, 2]


def test_2014_and_2017_side_by_side_are_refused(tmp_path, converted):
    write_coco(tmp_path / "raw")
    write_coco(tmp_path / "raw", "val2017")
    with pytest.raises(UserError, match="2014 and of 2017, which are of the same people; remove one"):
        converted("coco", tmp_path / "raw")


def test_coco_bad_files(tmp_path, converted):
    raw = tmp_path / "raw"
    raw.mkdir()
    with pytest.raises(UserError, match="no annotations/person_keypoints"):
        converted("coco", raw)
    (raw / "person_keypoints_val2017.json").write_text('{"images": [')
    with pytest.raises(UserError, match="not a COCO keypoint annotation file"):
        converted("coco", raw)
    (raw / "person_keypoints_val2017.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(UserError, match="other keypoints"):
        converted("coco", raw)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real annotation file is not on this machine")
def test_a_real_coco_file(tmp_path, converted):
    raw = tmp_path / "raw"
    (raw / "annotations").mkdir(parents=True)
    (raw / "annotations" / "person_keypoints_val2017.json").symlink_to(REAL / "coco_annotations.json")
    (raw / "val2017").mkdir()
    for name in ("000000000785.jpg", "000000196141.jpg"):
        (raw / "val2017" / name).symlink_to(REAL / name)
    store = converted("coco", raw)
    skier = next(store.row("train", i) for i in range(store.splits["train"]) if store.row("train", i).person == 442619)
    np.testing.assert_allclose(skier.coords[0], [367, 81])
    np.testing.assert_allclose(skier.coords[16], [396, 341])
    np.testing.assert_allclose(skier.box_ltwh_px, [280.79, 44.73, 218.7, 346.68], atol=1e-4)
    # the annotation's own area of the polygon
    assert masks.decode(skier.mask).sum() == pytest.approx(27789, rel=0.01)


def write_mpii(raw):
    """RELEASE with four images: two people, a training image without people, a test image, a person without joints."""

    def matlab(**fields):
        return {k: v for k, v in fields.items()}

    def person(points):
        listed = np.array(
            [(x + 1, y + 1, i, 1.0) for i, (x, y) in points],
            dtype=[("x", "O"), ("y", "O"), ("id", "O"), ("is_visible", "O")],
        )
        return matlab(scale=1.0, annopoints=matlab(point=listed))

    points = [(i, (50.0 + 5 * i, 40.0 + 15 * i)) for i in range(16)]
    people = np.empty(2, object)
    people[:] = [person(points), person(points[3:])]
    entries = np.empty(4, object)
    entries[:] = [
        matlab(image=matlab(name="a.jpg"), annorect=people),
        matlab(image=matlab(name="b.jpg"), annorect=np.zeros((0, 0))),
        matlab(image=matlab(name="c.jpg"), annorect=person(points)),
        matlab(image=matlab(name="d.jpg"), annorect=matlab(scale=1.0)),
    ]
    release = matlab(annolist=entries, img_train=np.array([1, 1, 0, 1]))
    (raw / "images").mkdir(parents=True)
    folder = raw / "mpii_human_pose_v1_u12_2"
    folder.mkdir()
    scipy.io.savemat(folder / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    for name in "abcd":
        (raw / "images" / f"{name}.jpg").write_bytes(encode_jpeg(np.full((300, 200, 3), 99, np.uint8)))
    return np.array([p for _, p in points])


def test_mpii(tmp_path, converted):
    points = write_mpii(tmp_path / "raw")
    store = converted("mpii", tmp_path / "raw")
    assert store.splits == {"train": 2} and store.skeleton.n_joints == 16
    first, second = store.row("train", 0), store.row("train", 1)
    np.testing.assert_allclose(first.coords, points, atol=1e-4)
    assert np.isnan(second.coords[:3]).all()
    np.testing.assert_allclose(second.coords[3:], points[3:], atol=1e-4)
    size = points.max(0) - points.min(0)
    np.testing.assert_allclose(first.box_ltwh_px[2:], 1.25 * size, atol=1e-3)
    assert first.image_key == second.image_key == "a.jpg"


def test_mpii_with_detections(tmp_path, converted):
    write_mpii(tmp_path / "raw")
    boxes = {"images/a.jpg": [[40, 30, 100, 250, 0.9], [0, 0, 5, 5, 0.9], [90, 80, 60, 200, 0.4]]}
    (tmp_path / "d.json").write_text(json.dumps(boxes))
    store = converted("mpii", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    assert store.splits == {"train": 1}
    np.testing.assert_allclose(store.row("train", 0).box_ltwh_px, [40, 30, 100, 250])
    assert store.metadata["provenance"]["left_out"] == {"no detection": 1}


def test_mpii_bad_files(tmp_path, converted):
    raw = tmp_path / "raw"
    (raw / "images").mkdir(parents=True)
    scipy.io.savemat(raw / "mpii_human_pose_v1_u12_1.mat", {"OTHER": 1})
    with pytest.raises(UserError, match="no 'RELEASE'"):
        converted("mpii", raw)
