"""How the programs here end."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from metrabs_acae.errors import UserError


def exit_code(work: Callable[[], int | None], *, interrupted: str = "Interrupted.") -> int:
    """Does the work and says in one sentence on standard error what kept it from being done.

    Returns: what the work returns, or 0; 2 bad input or a file or disk that cannot be used; 130 interrupted; 141 the
    reader of our output has gone.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be UTF-8, and must not end the work
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return work() or 0
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except BrokenPipeError:  # e.g. `| head`: nothing to report, and nothing to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a place that cannot be written to, a full disk: the system's words say it best
        of_file = f"{error.filename}: " if error.filename else ""
        print(f"Error: {of_file}{error.strerror or error}.", file=sys.stderr)
        return 2
