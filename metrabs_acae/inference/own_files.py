"""Results in a folder of inputs: which files are results, to be written anew and not posed, and which are not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from metrabs_acae.files import replacing

LIST_NAME = ".metrabs_acae_results"


class OwnFiles:
    """The files that are listed in some folders."""

    def __init__(self, paths: Iterable[Path] = ()):
        self._paths = set(paths)

    @classmethod
    def of_folders(cls, folders: Iterable[Path]) -> OwnFiles:
        """From the lists of the folders, as far as there are any."""
        return cls(folder / name for folder in set(folders) for name in _names(folder))

    def __contains__(self, path: Path) -> bool:
        return path in self._paths or path.with_name(of_first_person(path.name)) in self._paths


def of_first_person(name: str) -> str:
    """The name that the file of motion of person 1 would have; of other files their own."""
    return re.sub(r"\.\d+(\.(bvh|trc))$", r".1\1", name, flags=re.IGNORECASE)


def claim(folder: Path, names: Iterable[str]) -> None:
    """Lists files that are going to be written to the folder."""
    text = "".join(f"{name}\n" for name in sorted({*_names(folder), *names}))
    with replacing(folder / LIST_NAME) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _names(folder: Path) -> list[str]:
    try:
        return (folder / LIST_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
