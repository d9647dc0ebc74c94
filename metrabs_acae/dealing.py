"""Who holds which example of a batch: loaders, losses, dropout and ghost batch norm ask here.

One device computes a batch as `n_3d` 3D-labelled examples followed by `n_2d` 2D-labelled ones. Here both parts are cut
into equal contiguous pieces: first into micro-batches (gradient accumulation), each of these into the shares of the
replicas, each of these into those of the hosts. Whoever holds a share holds one piece of either part, in this order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrabs_acae.errors import UserError


@dataclass(frozen=True)
class Dealing:
    """How batches are dealt out; the defaults leave each in one piece.

    Attributes:
        accum_steps: micro-batches, computed one after the other.
        n_replicas: shares of a process that are computed side by side, each for itself (`tf.distribute`).
        n_hosts, host: processes that load a share each and compute together (JAX), and which of them this is.
    """

    accum_steps: int = 1
    n_replicas: int = 1
    n_hosts: int = 1
    host: int = 0

    @property
    def n_pieces(self) -> int:
        """In how many equal pieces each part of a batch is cut."""
        return self.accum_steps * self.n_replicas * self.n_hosts

    def slots(self, n_3d: int, n_2d: int) -> tuple[np.ndarray, np.ndarray]:
        """Which examples of a batch this process loads: integers [loads, n3] of the 3D-labelled ones and [loads, n2] of
        the others, a load for each replica of each micro-batch; UserError where a part cannot be cut equally."""
        if not 0 <= self.host < self.n_hosts:
            raise UserError(f"There is no host {self.host} of {self.n_hosts}; they are numbered from 0.")
        first, second = (_rows(part[:, :, self.host]) for part in self._pieces(n_3d, n_2d))
        return first, second

    def shares(self, n_3d: int, n_2d: int) -> np.ndarray:
        """[replicas x hosts, examples per share]: the places of each share's examples in a micro-batch on one device.

        The sizes are, as everywhere here, those of the whole batch.
        """
        parts = Dealing(1, self.n_replicas, self.n_hosts)._pieces(n_3d // self.accum_steps, n_2d // self.accum_steps)
        return np.concatenate([_rows(part) for part in parts], axis=1)

    def places(self, n_3d: int, n_2d: int) -> np.ndarray | None:
        """The same by computation, [computations, examples of each]: one for each replica, a single one for all hosts.

        None where examples stand as on one device.
        """
        if self.n_replicas * self.n_hosts == 1:
            return None
        return self.shares(n_3d, n_2d).reshape(self.n_replicas, -1)

    def _pieces(self, n_3d: int, n_2d: int) -> list[np.ndarray]:
        """The numbers of both parts' examples, [micro-batch, replica, host, n] each."""
        parts = []
        for start, size in ((0, n_3d), (n_3d, n_2d)):
            if size % self.n_pieces:
                raise UserError(
                    f"A batch part of {size} examples cannot be split into {self.n_pieces} equal parts "
                    f"({self.accum_steps} accumulation steps x {self.n_replicas * self.n_hosts} shares)."
                )
            shape = (self.accum_steps, self.n_replicas, self.n_hosts, size // self.n_pieces)
            parts.append(start + np.arange(size).reshape(shape))
        return parts


def _rows(pieces: np.ndarray) -> np.ndarray:
    """[..., n] -> [N, n], n may be 0."""
    return pieces.reshape(np.prod(pieces.shape[:-1]), pieces.shape[-1])


@dataclass(frozen=True)
class DealtGroups:
    """Consecutive groups of one device's batch, as the computations see them that its examples are dealt to.

    Attributes:
        local: [examples of each computation] the group of each of its examples, numbered from 0, alike in all.
        sizes: [G] examples in each of them.
        later: [computations, G] how many groups of the batch follow each.
    """

    local: np.ndarray
    sizes: np.ndarray
    later: np.ndarray


def deal_groups(group_size: int | list[int] | None, places: np.ndarray) -> DealtGroups:
    """Groups of a size (the last one smaller where it must be), of a list of sizes, or None: one of all examples.

    Args:
        places: [computations, examples of each] as of `Dealing.places`.

    Raises:
        UserError: computations that hold parts of groups, or groups of other sizes than each other.
    """
    if isinstance(group_size, list):
        group_of_place = np.repeat(np.arange(len(group_size)), group_size)
    else:
        group_of_place = np.arange(places.size) // (group_size or places.size)
    if len(group_of_place) != places.size:
        raise UserError(f"The ghost batch norm groups {group_size} do not sum to the batch of {places.size}.")
    whole = np.bincount(group_of_place)
    group_of = group_of_place[places]
    numbers = [np.unique(row) for row in group_of]
    local = np.searchsorted(numbers[0], group_of[0])
    if any(
        len(mine) != len(numbers[0])
        or not np.array_equal(np.searchsorted(mine, row), local)
        or not np.array_equal(np.bincount(np.searchsorted(mine, row)), whole[mine])
        for mine, row in zip(numbers, group_of, strict=True)
    ):
        raise UserError(
            f"Ghost batch normalization groups of {group_size or 'the whole batch'} cannot be dealt whole to "
            f"{len(places)} replicas: make the group size divide both the 3D-labelled and the 2D-labelled "
            "examples of each, or use fewer of them."
        )
    return DealtGroups(local, whole[numbers[0]], len(whole) - 1 - np.array(numbers))
