import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.shuffle import mix_key, shuffled_index
from metrabs_acae.errors import UserError
from tests.data.stores import JOINTS, write_toy_store


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 700), key=st.integers(0, 2**64 - 1))
def test_shuffle_is_a_permutation(n, key):
    assert sorted(shuffled_index(np.arange(n), n, np.uint64(key))) == list(range(n))


def test_shuffle_looks_random():
    n = 1000
    order = np.stack([shuffled_index(np.arange(n), n, mix_key(7, epoch)) for epoch in range(400)])
    # Uniform numbers: the mean of 400 has standard deviation 289 / 20; the correlation of 1000 pairs 0.03.
    assert np.abs(order.mean(axis=0) - 499.5).max() < 5 * 289 / 20
    assert abs(np.corrcoef(order[0, :-1], order[0, 1:])[0, 1]) < 0.15
    assert abs(np.corrcoef(order[0], order[1])[0, 1]) < 0.15
    huge = shuffled_index(np.array([0, 10**12 - 1]), 10**12, mix_key(1))
    assert ((huge >= 0) & (huge < 10**12)).all()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    return {
        "a": write_toy_store(root / "a", suffix="_a", n=7),
        "b": write_toy_store(root / "b", suffix="_b", n=11),
        "c": write_toy_store(root / "c", kind="2d", n=5),
    }


def test_batches_follow_the_table(stores):
    mixture = Mixture([Entry(stores[n], "train", k) for n, k in (("c", 2), ("a", 3), ("b", 4))], seed=1)
    assert [e.store.name for e in mixture.entries] == ["a", "b", "c"]  # 3D first
    assert (mixture.batch_size_3d, mixture.batch_size_2d) == (7, 2)
    assert mixture.skeleton.joint_names == tuple(f"{n}_{s}" for s in "ab" for n in JOINTS)
    assert set(mixture.joint_names_2d) == set(JOINTS) - {"pelv", "neck"}
    plan = mixture.plan(5)
    assert plan.entry.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    for slot in range(9):
        assert 0 <= plan.row[slot] < mixture.entries[plan.entry[slot]].store.splits["train"]


def test_every_epoch_has_every_example_once_and_a_new_order(stores):
    mixture = Mixture([Entry(stores["a"], "train", 3), Entry(stores["b"], "train", 4)], seed=1)
    rows = np.concatenate([mixture.plan(step).row[:3] for step in range(28)]).reshape(-1, 7)
    assert all(sorted(epoch) == list(range(7)) for epoch in rows)
    assert len({tuple(epoch) for epoch in rows}) > 8
    other = Mixture(mixture.entries, seed=2)
    assert any((mixture.plan(s).row != other.plan(s).row).any() for s in range(3))
    np.testing.assert_array_equal(mixture.plan(10**9).row, Mixture(mixture.entries, seed=1).plan(10**9).row)


def test_replacements_are_other_rows_and_reproducible(stores):
    mixture = Mixture([Entry(stores["b"], "train", 4)], seed=1)
    plans = [mixture.plan(3, attempt).row for attempt in range(20)]
    assert {int(p[0]) for p in plans} == set(range(11))
    np.testing.assert_array_equal(plans[4], mixture.plan(3, 4).row)


def test_description_and_errors(stores):
    mixture = Mixture([Entry(stores["a"], "train", 3), Entry(stores["c"], "train", 1)], seed=1)
    lines = mixture.describe(14).splitlines()
    assert lines[2].split() == ["a", "3d", "12", "train", "7", "3", "6.00"]
    assert lines[-1].split() == ["total", "12", "12", "4"]
    for entries, message in (
        ([Entry(stores["c"], "train", 1)], "no 3D"),
        ([Entry(stores["a"], "test", 1)], "no examples in split 'test'"),
        ([Entry(stores["a"], "train", 0)], "at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            Mixture(entries, seed=0)


def test_merged_joints_are_shared_by_the_stores(stores):
    entries = [Entry(stores[n], "train", k) for n, k in (("a", 2), ("b", 3), ("c", 2))]
    merged, separate = Mixture(entries, seed=1, merge_joints=True), Mixture(entries, seed=1)
    assert merged.skeleton.joint_names == JOINTS and separate.skeleton.n_joints == 2 * len(JOINTS)
    for entry in (0, 1):
        np.testing.assert_array_equal(merged.joint_indices[entry], np.arange(len(JOINTS)))
    assert merged.joint_names_2d == separate.joint_names_2d
    np.testing.assert_array_equal(merged.plan(5).row, separate.plan(5).row)
