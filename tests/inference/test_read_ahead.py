"""Order, errors and the end of what is made ahead."""

import threading

import pytest

from metrabs_acae.inference.read_ahead import read_ahead


def test_all_in_their_order():
    assert list(read_ahead(range(7), 3)) == list(range(7))
    assert list(read_ahead([], 3)) == []


def test_no_more_than_asked_for_ahead_and_elsewhere():
    made, threads = [], set()

    def items():
        for i in range(20):
            made.append(i)
            threads.add(threading.current_thread())
            yield i

    ahead = read_ahead(items(), 4)
    assert next(ahead) == 0
    ahead.close()
    assert len(made) <= 5 and threading.current_thread() not in threads
    assert not any(t.is_alive() for t in threads)


def test_errors_come_when_their_item_is_asked_for():
    def items():
        yield 1
        raise OSError("disk")

    ahead = read_ahead(items(), 4)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="disk"):
        next(ahead)
