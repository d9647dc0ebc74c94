"""Items made in a thread while the caller works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def read_ahead(items: Iterable[Item], n: int) -> Iterator[Item]:
    """The items in their order; up to `n` of them are made before they are asked for.

    What making one raises, asking for it raises. Close the generator before what the items are made of.
    """
    iterator, waiting = iter(items), deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="read ahead")
    try:
        while True:
            while len(waiting) < n:
                waiting.append(pool.submit(next, iterator, _END))
            item = waiting.popleft().result()
            if item is _END:
                return
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
