"""Ways to spoil the files of a raw folder, each of which a converter must survive."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path

import numpy as np

TEXT = (".txt", ".csv", ".ini", ".cal", ".calibration", ".yaml", ".yml", ".xml", ".extrinsics")
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?")


def roles(raw: Path) -> list[Path]:
    """One file of each kind: those whose paths differ by numbers alone count as one kind, the first stands for them."""
    kinds: dict[str, Path] = {}
    for path in sorted(p for p in raw.rglob("*") if p.is_file()):
        kinds.setdefault(re.sub(r"\d+", "#", path.relative_to(raw).as_posix()), path)
    return list(kinds.values())


def damages(path: Path) -> dict[str, bytes | None]:
    """Name -> what the file holds instead; None where it is to be missing."""
    data = path.read_bytes()
    found: dict[str, bytes | None] = {"missing": None, "empty": b"", "cut off": data[: len(data) // 2]}
    if path.suffix in TEXT:
        text = data.decode()
        found["numbers not finite"] = NUMBER.sub("nan", text).encode()
        found["lines too short"] = re.sub(r"[ \t,]+[^ \t,\n]+[ \t]*(?=\n|$)", "", text).encode()
    elif (trees := _codec(path.suffix)) is not None:
        load, save = trees
        try:
            tree = load(data)
        except Exception:  # not quite JSON, as released; or a pickle of objects
            return found
        found["numbers not finite"] = save(map_tree(tree, number=lambda v: np.nan, array=_all_nan))
        found["other keys"] = save(map_tree(tree, key=lambda k: f"x{k}"))
        found["arrays too short"] = save(map_tree(tree, array=lambda a: a[:-1], items=lambda v: v[:-1]))
        found["text for numbers"] = save(map_tree(tree, number=lambda v: "many", array=lambda a: a.astype(str)))
        found["nothing inside"] = save(map_tree(tree, array=lambda a: a[:0], items=lambda v: []))
    return found


def _all_nan(array: np.ndarray) -> np.ndarray:
    return np.full_like(array, np.nan) if array.dtype.kind == "f" else array


def map_tree(tree, *, key=None, number=None, array=None, items=None):
    """The tree of dictionaries, lists and arrays with its innermost lists, numbers, arrays or keys replaced."""
    settings = {"key": key, "number": number, "array": array, "items": items}
    if isinstance(tree, dict):
        return {key(k) if key and not k.startswith("__") else k: map_tree(v, **settings) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        inner = [map_tree(v, **settings) for v in tree]
        plain = items and inner and not any(isinstance(v, list | tuple | dict) for v in inner)
        return items(inner) if plain else inner
    if isinstance(tree, np.ndarray) and tree.dtype == object:
        replaced = np.empty(tree.shape, object)
        for i in np.ndindex(tree.shape):
            replaced[i] = map_tree(tree[i], **settings)
        return replaced
    if isinstance(tree, np.ndarray) and tree.ndim and tree.dtype.names is None:
        return array(tree) if array else tree
    if isinstance(tree, float) and number:
        return number(tree)
    return tree


def _codec(suffix: str):
    """How to read the bytes of such a file as a tree, and how to write one."""
    if suffix == ".json":
        return lambda data: json.loads(data), lambda tree: json.dumps(tree).encode()
    if suffix in (".pkl", ".pickle"):
        return lambda data: pickle.loads(data, encoding="latin1"), lambda tree: pickle.dumps(tree, 2)
    if suffix == ".npy":
        return lambda data: [np.load(io.BytesIO(data))], _save_npy
    if suffix == ".npz":
        return lambda data: dict(np.load(io.BytesIO(data))), _save_npz
    if suffix == ".mat":
        return _load_mat, _save_mat
    return None


def _save_npy(tree) -> bytes:
    file = io.BytesIO()
    np.save(file, tree[0] if tree else np.zeros(0))
    return file.getvalue()


def _save_npz(tree) -> bytes:
    file = io.BytesIO()
    np.savez(file, **tree)
    return file.getvalue()


def _load_mat(data: bytes):
    import scipy.io

    try:
        tree = scipy.io.loadmat(io.BytesIO(data), simplify_cells=True)
    except NotImplementedError:  # version 7.3
        return {}
    return {k: v for k, v in tree.items() if not k.startswith("__")}


def _save_mat(tree) -> bytes:
    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(file, tree)
    return file.getvalue()
