"""Unpacks archives without letting them write outside their folder or fill the disk by a trick."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from metrabs_acae.errors import UserError

MAX_RATIO = 200
"""Most that an archive may grow; videos and pictures hardly do, text grows tenfold."""
RATIO_FREE_BYTES = 1 << 30


def extract(archive, folder, *, max_ratio: float = MAX_RATIO) -> list[Path]:
    """Unpacks a zip or tar file (any compression) into `folder`; returns the files written.

    Files that exist with the right size are left alone, so that an interrupted call may be repeated. Links, devices and
    paths that lead out of the folder are refused before anything is written.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                members = [(m.filename, m.file_size, m) for m in file.infolist() if not m.is_dir()]
                if any(stat.S_ISLNK(m.external_attr >> 16) for _, _, m in members):
                    raise UserError(f"{archive} holds links; it is not unpacked.")
                return _write(archive, folder, members, file.open, max_ratio)
        with tarfile.open(archive) as file:
            members = []
            for member in file:
                if member.isdir():
                    continue
                if not member.isreg():
                    raise UserError(f"{archive} holds a link or device ({member.name}); it is not unpacked.")
                members.append((member.name, member.size, member))
            return _write(archive, folder, members, file.extractfile, max_ratio)
    except FileNotFoundError:
        raise UserError(f"{archive} does not exist; download it first.") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{archive} cannot be unpacked ({reason}); it may be cut off: download it again.") from None


def _write(archive: Path, folder: Path, members, open_member, max_ratio: float) -> list[Path]:
    total = sum(size for _, size, _ in members)
    if total > max(RATIO_FREE_BYTES, max_ratio * archive.stat().st_size):
        raise UserError(
            f"{archive} would grow to {total / 1e9:.1f} GB, more than {max_ratio} times its size; it is not unpacked."
        )
    targets = [folder / _safe_name(archive, name) for name, _, _ in members]
    folder.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(folder).free:
        raise UserError(f"{archive} needs {total / 1e9:.1f} GB in {folder}, which has less free space.")
    root = folder.resolve()
    for (_, size, member), target in zip(members, targets, strict=True):
        if target.is_file() and target.stat().st_size == size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(root):
            raise UserError(f"{target.parent} leads out of {folder} by a link; remove it.")
        partial = target.with_name(target.name + ".partial")
        partial.unlink(missing_ok=True)
        with open_member(member) as source, open(partial, "xb") as out:
            _copy(source, out, size)
        os.replace(partial, target)
    return targets


def _copy(source, out, size: int) -> None:
    """Copies exactly `size` bytes, whatever the compressed data would expand to."""
    left = size
    while left:
        block = source.read(min(left, 1 << 20))
        if not block:
            raise EOFError("a file in it is cut off")
        out.write(block)
        left -= len(block)
    if source.read(1):
        raise OSError("a file in it is larger than it says")


def _safe_name(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0] or "\0" in name:
        raise UserError(f"{archive} holds the path '{name}', which leads out of its folder; it is not unpacked.")
    return path
