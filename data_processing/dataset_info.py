"""What the registry knows of one dataset."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from metrabs_acae.data.paper_mixtures import COUNTS_2D, COUNTS_3D
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton, get_skeleton, union


@dataclass(frozen=True)
class RemoteFile:
    """A file that may be downloaded without registration.

    Attributes:
        url: `{sequence}` stands for each of the dataset's sequences.
        path: where it belongs below the raw folder.
        sha256, md5: checksum as published; empty where the authors publish none.
        archive: True if it is to be unpacked in its folder.
        may_lack: True if the server does not have it for every sequence; then it is passed over.
    """

    url: str
    path: str
    sha256: str = ""
    md5: str = ""
    archive: bool = False
    may_lack: bool = False


@dataclass(frozen=True)
class KnownFault:
    """Something that is wrong in a dataset as published, and what a conversion does about it unless told not to.

    Attributes:
        kind: "unit" (it is left out), "sides" (left and right are swapped back), "mask" (none is taken).
        where: pattern of the names of the units or sequences concerned.
        what: what is wrong.
        done: what a conversion does about it by default.
        source: who says so.
        frames: first and last frame concerned, from 0; None for all.
    """

    kind: str
    where: str
    what: str
    done: str
    source: str
    frames: tuple[int, int] | None = None

    def __str__(self) -> str:
        frames = f", frames {self.frames[0]}-{self.frames[1]}" if self.frames else ""
        return f"{self.where}{frames}: {self.what}; {self.done} ({self.source})"


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset.

    Attributes:
        name: on the command line, and name of the store.
        role: "3d" (training), "2d" (weak supervision) or "benchmark".
        kind: studio, outdoor, indoor, composite or rendered.
        licence: kind of licence; read the original's text before using the data.
        steps: what a person must do to get the data; empty where `files` can be downloaded.
        layout: the raw folder, as the converter expects it (one line per entry).
        skeleton: convention in `metrabs_acae.skeletons` (several joined by +), or a skeleton; `joints` limits it.
        units: what the raw numbers are in, and the world's up direction.
        boxes: where person boxes come from; masks likewise.
        sampling: which training frames are kept.
        n_examples: how many the paper's tools made of it, test set included; 0 where that is not known.
        converter: "module:Class" or a class, or empty where the conversion is not implemented yet.
        disk: how much the raw files take, where that is known.
        lacking: what the release lacks or may lack.
        evidence: what the 3D labels are held against: "joints" (2D labels of the same joints), "boxes" (boxes or masks
            of frames in a row), "pictures" (those of single pictures), "fitted" (2D labels to which the camera is
            fitted); empty: nothing but the camera and the size of the picture.
        tested: what else than a fixture in the raw layout and formats the converter was tested on.
        limits: known limits, for the table in the documentation.
        faults: what is wrong in the data as published and is mended (`--as-published` leaves it).
        mirrors: (beginning of an address, what stands for it at another official server).
    """

    name: str
    title: str = ""
    year: int = 0
    role: str = "3d"
    kind: str = ""
    licence: str = "not stated"
    citation: str = ""
    url: str = ""
    layout: str = ""
    skeleton: str | Skeleton = ""
    splits: str = ""
    cameras: str = ""
    units: str = "mm"
    boxes: str = ""
    masks: str = "none"
    sampling: str = ""
    joints: tuple[str, ...] = ()
    n_examples: int = 0
    steps: str = ""
    files: tuple[RemoteFile, ...] = ()
    sequences: tuple[str, ...] = ()
    color_fix: Mapping | None = None
    realistic_background: bool = False
    clean: bool = False
    bone_check: bool = True
    converter: str | type = ""
    disk: str = ""
    lacking: str = ""
    evidence: str = ""
    tested: str = ""
    limits: str = ""
    faults: tuple[KnownFault, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()

    def faults_of(self, kind: str, name: str) -> list[KnownFault]:
        """The known faults of a kind that concern a unit or sequence of this name."""
        return [f for f in self.faults if f.kind == kind and fnmatchcase(name, f.where)]

    @property
    def store_kind(self) -> str:
        return "2d" if self.role == "2d" else "3d"

    @property
    def batch(self) -> tuple[int, ...]:
        """Examples per batch in the paper's full (28 datasets), medium (14) and small (3) mixtures."""
        return tuple((counts | COUNTS_2D[1]).get(self.name, 0) for counts in COUNTS_3D.values())

    def get_skeleton(self) -> Skeleton:
        """The skeleton of the dataset's store: names carry the convention, those of 2D joints do not."""
        if isinstance(self.skeleton, Skeleton):
            return self.skeleton
        if self.role == "2d":
            return Skeleton(self.name, self.joints)
        skeleton = union((get_skeleton(s) for s in self.skeleton.split("+")), self.name)
        if self.joints:
            return skeleton.select([f"{j}_{self.skeleton}" for j in self.joints], self.name)
        return skeleton

    def load_converter(self) -> type:
        """The converter class; UserError where there is none."""
        if not self.converter:
            raise UserError(
                f"There is no converter for '{self.name}' yet; `python -m data_processing list` shows which."
            )
        if isinstance(self.converter, type):
            return self.converter
        module, _, name = self.converter.partition(":")
        return getattr(importlib.import_module(module), name)
