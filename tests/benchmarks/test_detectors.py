"""Who counts as found."""

from __future__ import annotations

import numpy as np

from benchmarks import detectors

PEOPLE = np.array([[0, 0, 100, 200], [300, 0, 100, 200], [600, 0, 20, 50]])  # the last is too small to count


def test_overlaps():
    """Half of the box, nothing, the same box."""
    found = detectors.overlaps(np.array([[0, 0, 100, 200], [200, 0, 100, 200]]), np.array([0, 0, 50, 200, 0.9]))
    np.testing.assert_allclose(found, [0.5, 0])
    np.testing.assert_allclose(detectors.overlaps(PEOPLE, PEOPLE[0]), [1, 0, 0])


def test_a_person_is_found_once_and_a_box_finds_one():
    boxes = np.array(
        [
            [5, 0, 100, 200, 0.9],  # the first person
            [0, 5, 100, 200, 0.8],  # the same again
            [300, 0, 100, 90, 0.7],  # too little of the second
            [600, 0, 20, 50, 0.6],  # of somebody who does not count
            [300, 0, 100, 200, 0.2],  # the second, below the threshold
        ]
    )
    assert detectors.count([(None, PEOPLE)], [boxes], 0.3) == (1, 2, 3)
    assert detectors.count([(None, PEOPLE)], [boxes], 0.1) == (2, 2, 4)
    assert detectors.count([(None, PEOPLE)] * 2, [boxes, boxes[:0]], 0.1) == (2, 4, 4)
