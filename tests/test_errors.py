import numpy as np

from metrabs_acae.errors import BadExample, UserError


def test_a_sentence_stays_on_one_line_whatever_it_quotes():
    array = np.zeros((2, 2))
    assert str(UserError(f"R is {array!r}.")) == "R is array([[0., 0.], [0., 0.]])."
    assert str(BadExample("a\r\n  b")) == "a b"


def test_a_list_goes_under_the_sentence():
    assert str(UserError("Two are missing:", "  one", "  two")) == "Two are missing:\n  one\n  two"
