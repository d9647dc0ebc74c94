"""Shape checks at the borders where arrays come in."""

from __future__ import annotations

from metrabs_acae.errors import UserError


def require_shape(name: str, value, expected: tuple[int | None, ...]) -> None:
    """Raises UserError unless `value` has the expected shape.

    Args:
        name: how the argument is called, for the message.
        value: anything with `.shape` (NumPy array, eager or traced tensor; unknown dimensions pass).
        expected: one entry per axis; None stands for any size.
    """
    got = tuple(value.shape)
    fits = len(got) == len(expected) and all(
        e is None or g is None or g == e for g, e in zip(got, expected, strict=True)
    )
    if not fits:
        raise UserError(f"{name} has shape {_text(got)}, expected {_text(expected)} (* = any size).")


def _text(shape) -> str:
    return "[" + ", ".join("*" if n is None else str(n) for n in shape) + "]"
