"""Who holds which example of a batch."""

import numpy as np
import pytest

from metrabs_acae.dealing import Dealing, deal_groups
from metrabs_acae.errors import UserError


def test_one_device_has_the_batch_as_it_stands():
    one = Dealing()
    assert [s.tolist() for s in one.slots(3, 2)] == [[[0, 1, 2]], [[3, 4]]]
    assert one.places(3, 2) is None and one.n_pieces == 1
    np.testing.assert_array_equal(one.shares(3, 2), [[0, 1, 2, 3, 4]])
    assert Dealing(2, n_hosts=2).slots(8, 0)[1].shape == (2, 0)


def test_micro_batches_are_pieces_of_both_parts_and_hosts_share_each():
    micro = Dealing(2).slots(12, 8)
    assert micro[0].tolist() == [[*range(6)], [*range(6, 12)]]
    first, second = (Dealing(2, n_hosts=2, host=host).slots(12, 8) for host in range(2))
    for part in range(2):  # side by side the hosts' loads are a single host's
        np.testing.assert_array_equal(np.concatenate([first[part], second[part]], axis=1), micro[part])
    assert first[0].tolist() == [[0, 1, 2], [6, 7, 8]] and second[1].tolist() == [[14, 15], [18, 19]]


def test_shares_are_contiguous_pieces_of_both_parts():
    np.testing.assert_array_equal(Dealing(n_replicas=2).places(4, 2), [[0, 1, 4], [2, 3, 5]])
    np.testing.assert_array_equal(Dealing(n_hosts=2).places(4, 2), [[0, 1, 4, 2, 3, 5]])
    np.testing.assert_array_equal(Dealing(3, n_replicas=2).places(12, 6), [[0, 1, 4], [2, 3, 5]])


@pytest.mark.parametrize("dealing", [Dealing(2, n_replicas=3), Dealing(2, n_hosts=3), Dealing(2, 3, 2)])
def test_what_is_loaded_is_what_the_places_say(dealing):
    """Example `places[c, i]` of micro-batch m on one device is the one that computation c finds at its place i."""
    n_3d, n_2d = 24, 12
    loads = [Dealing(2, dealing.n_replicas, dealing.n_hosts, host).slots(n_3d, n_2d) for host in range(dealing.n_hosts)]
    alone = [np.concatenate(parts) for parts in zip(*Dealing(2).slots(n_3d, n_2d), strict=True)]
    for step in range(2):
        for replica, mine in enumerate(dealing.places(n_3d, n_2d)):
            load = dealing.n_replicas * step + replica
            found = np.concatenate([part[load] for host in loads for part in host])
            np.testing.assert_array_equal(found, alone[step][mine])
    assert sorted(np.concatenate([p.ravel() for host in loads for p in host])) == list(range(n_3d + n_2d))


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(UserError, match=r"10 examples cannot be split into 4 equal parts \(2 accumulation steps x 2"):
        Dealing(2, n_hosts=2).slots(10, 8)
    with pytest.raises(UserError, match="no host 2 of 2"):
        Dealing(n_hosts=2, host=2).slots(4, 4)


def test_dealt_groups_are_those_of_one_device():
    dealt = deal_groups(2, Dealing(n_replicas=2).places(8, 4))
    assert dealt.local.tolist() == [0, 0, 1, 1, 2, 2] and dealt.sizes.tolist() == [2, 2, 2]
    # Of six groups the first replica has numbers 0, 1, 4, the second 2, 3, 5.
    assert dealt.later.tolist() == [[5, 4, 1], [3, 2, 0]]
    assert deal_groups(None, Dealing(n_hosts=2).places(4, 2)).sizes.tolist() == [6]
    assert deal_groups([5, 1], Dealing(n_hosts=2).places(4, 2)).local.tolist() == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("group", "n_3d", "n_2d"), [(4, 12, 4), (2, 6, 4), (4, 16, 4), (None, 8, 4), ([4, 4, 4], 8, 4)]
)
def test_groups_that_cannot_be_dealt_whole_are_refused(group, n_3d, n_2d):
    with pytest.raises(UserError, match="cannot be dealt whole to 2 replicas"):
        deal_groups(group, Dealing(n_replicas=2).places(n_3d, n_2d))
    with pytest.raises(UserError, match="do not sum to the batch of 12"):
        deal_groups([4, 4], Dealing(n_replicas=2).places(8, 4))
