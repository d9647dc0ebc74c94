"""Numbers follow the people, not their order."""

import numpy as np
import pytest

from metrabs_acae.inference.tracking import PoseTracker

FOCAL_PX = 1000.0
BODY = np.array([[0, -800, 0], [-250, -400, 0], [250, -400, 50], [-150, 800, 0], [150, 800, -50.0]])


def people(*positions_mm):
    """Poses [P, J, 3] and [P, J, 2] of bodies at these places."""
    poses3d = BODY + np.array(positions_mm, float).reshape(-1, 1, 3)
    return poses3d, FOCAL_PX * poses3d[..., :2] / poses3d[..., 2:]


def walk(tracker, *frames, step_s=0.04):
    return [tracker.update(i * step_s, *people(*f)).tolist() for i, f in enumerate(frames)]


def test_numbers_do_not_depend_on_the_order():
    a, b, c = (-2000, 0, 4000), (0, 0, 4000), (2000, 0, 4500)
    assert walk(PoseTracker(), [a, b, c], [c, a, b], [b, c, a]) == [[1, 2, 3], [3, 1, 2], [2, 3, 1]]


def test_people_who_pass_one_behind_the_other():
    xs = np.linspace(-1200, 1200, 61)
    frames = [[(x, 0, 3500), (-x, 0, 5500)] for x in xs]
    shuffled = [f[:: 1 if i % 2 else -1] for i, f in enumerate(frames)]
    numbers = walk(PoseTracker(), *shuffled)
    assert {tuple(n[:: 1 if i % 2 else -1]) for i, n in enumerate(numbers)} == {tuple(numbers[0][::-1])}


def test_short_absence_keeps_the_number_and_a_long_one_does_not():
    tracker = PoseTracker(max_gap_s=1.0)
    here = people((0, 0, 4000))
    assert tracker.update(0.0, *here) == [1]
    assert len(tracker.update(0.5, *people())) == 0
    assert tracker.update(0.9, *here) == [1]
    assert tracker.update(2.0, *here) == [2]


def test_who_is_too_far_is_someone_else():
    tracker = PoseTracker()
    assert tracker.update(0.0, *people((0, 0, 4000))) == [1]
    assert tracker.update(0.04, *people((1500, 0, 4000))) == [2]
    assert tracker.update(0.08, *people((0, 0, 8000), (1500, 0, 4000))).tolist() == [3, 2]


def test_as_many_as_possible_keep_their_numbers():
    """Greedy matching would give the middle one to the nearer of two and leave the other without."""
    tracker = PoseTracker(max_rate=0.0)
    tracker.update(0.0, *people((0, 0, 4000), (500, 0, 4000)))
    assert tracker.update(0.04, *people((-400, 0, 4000), (20, 0, 4000))).tolist() == [1, 2]


@pytest.mark.parametrize("zoom", [0.25, 4.0])
def test_the_size_of_the_picture_does_not_matter(zoom):
    rng = np.random.default_rng(0)
    frames = [
        people(*(np.array([[-900, 0, 4000], [0, 0, 4000], [900, 0, 4000]]) + rng.normal(0, 150, (3, 3))))
        for _ in range(20)
    ]
    plain, zoomed = PoseTracker(), PoseTracker()
    for i, (poses3d, poses2d) in enumerate(frames):
        numbers = plain.update(i * 0.04, poses3d, poses2d)
        assert (zoomed.update(i * 0.04, poses3d, poses2d * zoom) == numbers).all()


def test_people_of_unknown_place_do_no_harm():
    tracker = PoseTracker()
    tracker.update(0.0, *people((0, 0, 4000)))
    poses3d, poses2d = people((0, 0, 4000), (100, 0, 4000))
    poses3d[1], poses2d[1] = np.nan, np.nan
    assert tracker.update(0.04, poses3d, poses2d).tolist() == [1, 2]
    assert tracker.update(0.08, *people((0, 0, 4000))).tolist() == [1]


@pytest.mark.parametrize("fps", [12.5, 25, 60])
def test_two_seconds_behind_a_wall(fps):
    """One who walks on behind it keeps the number, beside others in sight; so does one who waits there."""
    tracker, seen = PoseTracker(), {"walks": [], "waits": []}
    rng = np.random.default_rng(0)
    for time_s in np.arange(0, 5, 1 / fps):
        hidden = 1.5 < time_s < 3.5
        places = {"stands": (-1500, 0, 4000), "walks": (-2500 + 1200 * time_s, 0, 6000), "waits": (2500, 0, 4500)}
        shown = {n: p for n, p in places.items() if n == "stands" or not hidden}
        poses3d, _ = people(*shown.values())
        poses3d *= np.exp(rng.normal(0, 0.03, (len(shown), 1, 1)))
        poses2d = FOCAL_PX * poses3d[..., :2] / poses3d[..., 2:]
        numbers = tracker.update(time_s, poses3d, poses2d + rng.normal(0, 3, poses2d.shape))
        for name, number in zip(shown, numbers, strict=True):
            seen.setdefault(name, []).append(int(number))
    assert all(len(set(numbers)) == 1 for numbers in seen.values())


def test_who_appears_beside_does_not_take_a_number_away():
    """A second box on the person in sight is not the one who left."""
    tracker = PoseTracker()
    tracker.update(0.0, *people((0, 0, 4000), (-900, 0, 4000)))
    assert tracker.update(0.04, *people((0, 0, 4000), (-900, 0, 4000))).tolist() == [1, 2]
    for i in range(2, 20):
        numbers = tracker.update(i * 0.04, *people((0, 0, 4000)))
    assert numbers.tolist() == [1]
    assert tracker.update(0.8, *people((60, 0, 4050), (0, 0, 4000))).tolist()[1] == 1
