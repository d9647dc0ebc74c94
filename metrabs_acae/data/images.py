"""Image files: where a store's come from, a folder or one barecat archive; the size in a header; OpenCV's reading and
writing for any file name and any disk."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from metrabs_acae.data import jpeg
from metrabs_acae.errors import BadExample, UserError
from metrabs_acae.files import replacing

MAX_PIXELS = 100_000_000
"""Pictures and video frames that claim more are not read: most likely their header is damaged."""
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


class FolderImages:
    """Image files in a folder, by relative path with forward slashes."""

    def __init__(self, root: Path):
        self.root = Path(root)
        self._prefix = f"{self.root}/"

    def read(self, key: str) -> bytes:
        """The file's bytes; OSError where it is missing."""
        with open(self._prefix + check_key(key), "rb", buffering=0) as file:
            return file.read()


class BarecatImages:
    """Image files in a barecat archive; opened by the process that reads first."""

    def __init__(self, archive: Path):
        self.root = Path(archive)
        self._reader = None

    def read(self, key: str) -> bytes:
        """The file's bytes; OSError where it is missing."""
        if self._reader is None:
            try:
                import barecat
            except ImportError:
                raise UserError(
                    f"{self.root} is a barecat archive: install the package with `pip install barecat`."
                ) from None
            self._reader = barecat.Barecat(str(self.root), readonly=True, threadsafe=True)
        try:
            return self._reader[check_key(key)]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, f"There is no {key}", str(self.root)) from None

    def __getstate__(self):
        return {"root": self.root, "_reader": None}


def read_picture(images, key: str) -> bytes:
    """The bytes of a store's picture; BadExample where it is missing, UserError where the machine cannot read it."""
    try:
        return images.read(key)
    except OSError as error:
        if error.errno in _MISSING:
            raise BadExample(str(error)) from error
        raise UserError(  # a failing disk, no file handles left: the next picture fares no better
            f"The picture {key} in {images.root} cannot be read ({error.strerror or error}): mend what keeps this "
            "machine from reading it, and start the same command again."
        ) from error


def check_key(key: str) -> str:
    """The key itself; BadExample where it would leave the image folder."""
    if not key.strip("./") or key[0] == "/" or ".." in key.split("/") or "\\" in key or "\0" in key:
        raise BadExample(f"The image key '{key}' must be a relative path inside the image folder.")
    return key


def image_size_wh(data: bytes) -> tuple[int, int]:
    """Width and height as decoders see them, from the header of a JPEG or PNG file; ValueError for anything else.

    Only the first bytes are read, so a file cut off after its header passes.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if data[:2] == b"\xff\xd8":
        return jpeg.read_size_wh(data)
    raise ValueError("not a JPEG or PNG file, or one cut off in its header")


def read_image_size_wh(path: str | Path) -> tuple[int, int]:
    """`image_size_wh` of a file, of which mostly the beginning is read; colour profiles before the size may be long."""
    with open(path, "rb") as file:
        data = file.read(1 << 16)
        try:
            return image_size_wh(data)
        except ValueError:
            return image_size_wh(data + file.read())


def decode_file(path: str | Path, flags: int):
    """`cv2.imread` for any file name; None where the file is no image, OSError where it cannot be read."""
    import cv2
    import numpy as np

    data = np.fromfile(path, np.uint8)
    return cv2.imdecode(data, flags) if data.size else None


def write_image(path: str | Path, image, options=()) -> None:
    """`cv2.imwrite` of [H, W, 3] RGB, but all of it or nothing; OSError where it cannot be written."""
    import cv2

    done, data = cv2.imencode(Path(path).suffix, image[..., ::-1], options)
    if not done:
        raise OSError(f"a picture of shape {image.shape} cannot be encoded")
    with replacing(path) as temporary:
        temporary.write_bytes(data)
