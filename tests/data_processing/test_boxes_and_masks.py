import numpy as np
import pytest

from data_processing import boxes, masks


def test_box_of_points_leaves_out_missing_ones_and_grows_about_its_centre():
    points = np.array([[10, 20], [30, 60], [np.nan, 5]])
    np.testing.assert_allclose(boxes.box_of_points(points), [10, 20, 20, 40])
    np.testing.assert_allclose(boxes.box_of_points(points, 1.5), [5, 10, 30, 60])
    assert boxes.box_of_points(np.full((3, 2), np.nan)) is None


def test_iou():
    assert boxes.iou([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(50 / 150)
    assert boxes.iou([0, 0, 10, 10], [20, 0, 10, 10]) == 0
    assert boxes.iou([0, 0, 0, 0], [0, 0, 0, 0]) == 0


def test_matching_maximises_the_sum_and_drops_bad_pairs():
    people = [[0, 0, 10, 10], [8, 0, 10, 10], [100, 100, 10, 10]]
    detections = np.array([[7, 0, 10, 10, 0.9], [1, 0, 10, 10, 0.5], [0, 0, 300, 300, 0.9]])
    assert boxes.match(people, detections, min_iou=0.1) == [1, 0, None]
    assert boxes.match(people, np.zeros((0, 5)), min_iou=0.1) == [None] * 3
    big = np.array([[0, 0, 10, 25, 1.0]])
    assert boxes.match([people[0]], big, min_iou=0.1) == [0]
    assert boxes.match([people[0]], big, min_iou=0.1, max_area_ratio=2) == [None]


def test_hull_with_a_detection_only_if_similar():
    label = [10, 10, 20, 20]
    near = np.array([[8, 10, 20, 22, 0.4], [0, 0, 90, 90, 0.9]])
    np.testing.assert_allclose(boxes.hull_with_detection(label, near), [8, 10, 22, 22])
    np.testing.assert_allclose(boxes.hull_with_detection(label, near, by="score"), label)
    np.testing.assert_allclose(boxes.hull_with_detection(label, np.zeros((0, 5))), label)


def test_best_detection():
    detections = np.array([[0, 0, 10, 10, 0.2], [2, 0, 10, 10, 0.9]])
    np.testing.assert_allclose(boxes.best_detection([0, 0, 10, 10], detections), [0, 0, 10, 10])
    assert boxes.best_detection([50, 50, 10, 10], detections) is None
    assert boxes.best_detection([6, 0, 10, 10], detections, min_iou=0.9) is None


def test_component_of_a_box():
    mask = np.zeros((20, 30), bool)
    mask[2:8, 2:8] = mask[10:18, 12:28] = True
    person = masks.component_of_box(mask, [1, 1, 8, 8])
    assert person.sum() == 36 and person[3, 3]
    np.testing.assert_allclose(masks.box_of(person), [2, 2, 6, 6])
    assert masks.largest_component(mask).sum() == 128
    assert masks.component_of_box(np.zeros((4, 4), bool), [0, 0, 2, 2]).sum() == 0
    assert masks.box_of(np.zeros((4, 4), bool)) is None


def test_coco_segmentations_in_all_three_forms():
    mask = np.zeros((10, 12), bool)
    mask[2:7, 3:9] = True
    flat = mask.T.ravel()
    runs = np.diff(np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1], [True]]))).tolist()
    uncompressed = masks.from_polygons({"size": [10, 12], "counts": runs}, (12, 10))
    assert (masks.decode(uncompressed) == mask).all()
    compressed = {"size": [10, 12], "counts": uncompressed["counts"].decode("latin1")}
    assert (masks.decode(masks.from_polygons(compressed, (12, 10))) == mask).all()
    polygon = masks.decode(masks.from_polygons([[3, 2, 9, 2, 9, 7, 3, 7]], (12, 10)))
    assert (polygon & mask).sum() / (polygon | mask).sum() > 0.8
    assert masks.decode(masks.from_polygons([], (12, 10))).sum() == 0
    with pytest.raises(ValueError, match="add up"):
        masks.from_polygons({"size": [10, 12], "counts": [3, 4]}, (12, 10))
