"""Downloads files: resumable, checked, and patient with broken connections."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from data_processing.dataset_info import DatasetInfo, RemoteFile
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json
from metrabs_acae.progress import Progress

BLOCK = 1 << 20


class NotThere(UserError):
    """The server does not have the file."""


_RETRIED = (OSError, http.client.HTTPException)


def download_dataset(info: DatasetInfo, folder, *, sequences: list[str] | None = None, unpack: bool = True) -> None:
    """Fetches every file that a dataset offers without registration, and unpacks the archives.

    Args:
        sequences: only these, where the dataset is divided into sequences.

    Raises:
        UserError: the dataset needs a person's steps (they are in the message), a name is unknown, or a file fails.
    """
    from data_processing.safe_archive import extract

    folder = Path(folder)
    if not info.files:
        raise UserError(f"{info.title} cannot be fetched automatically. {info.steps} See {info.url}.")
    files = list(expand_files(info, sequences))
    bar = Progress(f"{info.name}: files", len(files))
    failed: dict[str, str] = {}
    for file in files:
        target = folder / file.path
        done = target.with_name(target.name + ".unpacked")
        note = ""
        try:
            if not done.exists():
                note = _download_from_any(info, file, target)
                if file.archive and unpack:
                    extract(target, target.parent)
                    done.touch()
        except NotThere as error:
            note = str(error)
            if not file.may_lack:
                failed[file.path] = note
        except UserError as error:
            failed[file.path] = note = str(error)
        bar.step(note=note)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(files)} files failed ({next(iter(failed.values()))}); the others are kept: start "
            "the same command again."
        )


def _download_from_any(info: DatasetInfo, file: RemoteFile, target: Path) -> str:
    """Fetches a file from its address or, where that fails, from the mirrors; returns what to say about it."""
    try:
        download(file.url, target, sha256=file.sha256, md5=file.md5)
        return ""
    except UserError as error:
        for start, other in info.mirrors:
            if file.url.startswith(start):
                # From the beginning: the mirror's file need not be the same, byte by byte.
                for suffix in (".part", ".part.json"):
                    target.with_name(target.name + suffix).unlink(missing_ok=True)
                download(other + file.url.removeprefix(start), target, sha256=file.sha256, md5=file.md5)
                return f"{file.path} came from {other}: {error}"
        raise


def expand_files(info: DatasetInfo, sequences: list[str] | None = None):
    """The dataset's files, those given per sequence once for each of them."""
    unknown = set(sequences or ()) - set(info.sequences)
    if unknown:
        raise UserError(f"{info.name} has no sequence {', '.join(sorted(unknown))}.")
    for sequence in sequences or info.sequences or ("",):
        for file in info.files:
            if "{sequence}" in file.url or not sequence or sequence == (sequences or info.sequences)[0]:
                yield RemoteFile(
                    file.url.replace("{sequence}", sequence),
                    file.path.replace("{sequence}", sequence),
                    file.sha256,
                    file.md5,
                    file.archive,
                    file.may_lack,
                )


def download(url: str, path, *, sha256: str = "", md5: str = "", retries: int = 8, wait_s: float = 2.0) -> Path:
    """Fetches one file to `path`; an existing file is left alone.

    While it comes it is `<path>.part`, and a later call goes on from there if the server still has the same file.

    Raises:
        UserError: the server refuses, the connection fails `retries` times in a row, or the checksum differs.
    """
    path = Path(path)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part, note = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.json")
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _fetch(url, part, note):
                break
            error: Exception = OSError("the connection ended early")
        except urllib.error.HTTPError as refused:
            if refused.code in (408, 429) or refused.code >= 500:
                error = refused
            else:
                kind = NotThere if refused.code in (404, 410) else UserError
                raise kind(f"{url} cannot be fetched: the server says {refused.code} {refused.reason}.") from None
        except _RETRIED as problem:
            error = problem
        now = part.stat().st_size if part.exists() else 0
        failures = 0 if now > before else failures + 1
        if failures > retries:
            raise UserError(
                f"{url} could not be fetched ({error}); {now:,} bytes are kept in {part}: start the same command again."
            )
        time.sleep(wait_s * 2 ** min(failures, 5))
    _check(part, url, sha256, md5)
    os.replace(part, path)
    note.unlink(missing_ok=True)
    return path


def _fetch(url: str, part: Path, note: Path) -> bool:
    """Goes on with the partial file; True when it is complete."""
    start = part.stat().st_size if part.exists() else 0
    known = load_json(note) if note.exists() else {}
    request = urllib.request.Request(url, headers={"User-Agent": "metrabs_acae"})
    if start and known.get("validator"):
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", known["validator"])
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and known.get("size") == start:
            return True  # nothing is missing
        if error.code == 416:
            part.unlink()
            return False
        raise
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        length = response.headers.get("Content-Length")
        total = None if length is None else int(length) + (start if resumed else 0)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if validator and not validator.startswith("W/"):
            note.write_text(json.dumps({"validator": validator, "size": total}))
        else:
            note.unlink(missing_ok=True)
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise UserError(f"{url} has {total:,} bytes, more than is free in {part.parent}.")
        with open(part, "ab" if resumed else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
    return total is None or part.stat().st_size == total


def _check(part: Path, url: str, sha256: str, md5: str) -> None:
    for name, expected in (("sha256", sha256), ("md5", md5)):
        if not expected:
            continue
        with open(part, "rb") as file:
            actual = hashlib.file_digest(file, name).hexdigest()
        if actual != expected.lower():
            part.unlink()
            raise UserError(
                f"{url} has the {name} checksum {actual}, expected {expected}; it was removed, fetch it again."
            )
