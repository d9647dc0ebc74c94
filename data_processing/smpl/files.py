"""Finds and reads the model files: .npz, and .pkl without running it and without chumpy.

The pickles of SMPL are of Python 2 and hold objects of the libraries chumpy (arrays within a graph of operations) and
SciPy (a sparse matrix); they are taken apart here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_processing.file_cache import file_cache
from data_processing.plain_files import read_arrays
from data_processing.smpl.model import BodyModel
from metrabs_acae.errors import UserError
from metrabs_acae.safe_pickle import StandIn, load_pickle

GENDERS = {"m": "male", "f": "female", "n": "neutral"}
N_JOINTS = {24: "smpl", 52: "smplh", 55: "smplx"}
N_SHAPE_SPLIT = 300
"""SMPL-X files with more coefficients than this have 300 of shape, then those of expression; others 10 of shape."""


@dataclass(frozen=True)
class ModelSource:
    """Where a body model comes from and what its files are called, `{gender}` being male, female or neutral."""

    title: str
    url: str
    archive: str
    files: tuple[str, ...]


SOURCES = {
    "smpl": ModelSource(
        "SMPL",
        "https://smpl.is.tue.mpg.de",
        "SMPL_python_v.1.1.0.zip",
        (
            "SMPL_{GENDER}.npz",
            "SMPL_{GENDER}.pkl",
            "basicmodel_{g}_lbs_10_207_0_v1.1.0.pkl",
            "basicModel_{g}_lbs_10_207_0_v1.0.0.pkl",
            "basicmodel_{g}_lbs_10_207_0_v1.0.0.pkl",
        ),
    ),
    "smplh": ModelSource(
        "SMPL-H",
        "https://mano.is.tue.mpg.de",
        "the extended SMPL+H model",
        ("{gender}/model.npz", "SMPLH_{GENDER}.npz", "SMPLH_{GENDER}.pkl", "SMPLH_{gender}.pkl"),
    ),
    "smplx": ModelSource(
        "SMPL-X",
        "https://smpl-x.is.tue.mpg.de",
        "models_smplx_v1_1.zip",
        ("SMPLX_{GENDER}.npz", "SMPLX_{GENDER}.pkl"),
    ),
}
_REQUIRED = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")
_HANDS = ("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr")


def find_model(folder, kind: str, gender: str) -> Path:
    """The model file in `folder`/`kind` (or in `folder` itself); UserError says what to fetch and where to put it.

    Args:
        kind: "smpl", "smplh" or "smplx".
        gender: "male", "female" or "neutral", or its first letter.
    """
    gender = GENDERS.get(gender[:1].lower())
    if gender is None or kind not in SOURCES:
        raise UserError(f"There is no body model '{kind}' of that gender; use {', '.join(SOURCES)}; m, f or n.")
    source = SOURCES[kind]
    names = [name_of_file(name, gender) for name in source.files]
    for place in (Path(folder) / kind, Path(folder)):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise UserError(
        f"The body model {source.title} ({gender}) is missing in {Path(folder) / kind}. Register at {source.url}, "
        f"download {source.archive} and put {' or '.join(names[:3])} there; --body-models names another folder."
    )


def name_of_file(pattern: str, gender: str) -> str:
    short = gender if gender == "neutral" else gender[0]
    return pattern.format(gender=gender, GENDER=gender.upper(), g=short)


@file_cache(3)
def load_model(path) -> BodyModel:
    """Reads a model file; the kind follows from its number of joints. UserError where the file is not such a model."""
    path = Path(path)
    if path.suffix == ".npz":
        arrays = read_arrays(path, _REQUIRED, _HANDS)
    else:
        arrays = _read_pickle(path)
    try:
        return _make(arrays)
    except (ValueError, IndexError, TypeError) as error:
        raise UserError(f"{path} is not a body model of the SMPL family ({error}); fetch it again.") from None


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    data = load_pickle(path, stand_ins=("chumpy", "scipy.sparse"))
    if not isinstance(data, dict) or any(name not in data for name in _REQUIRED):
        raise UserError(f"{path} is not a body model of the SMPL family; it should hold {', '.join(_REQUIRED)}.")
    try:
        return {name: _array(data[name]) for name in (*_REQUIRED, *_HANDS) if name in data}
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{path} holds something else than arrays ({error!r}); fetch it again.") from None


def _array(value) -> np.ndarray:
    """A plain array from an array or from what stands in for an object of chumpy or a sparse matrix of SciPy."""
    if not isinstance(value, StandIn):
        return _numbers(value)
    state = value.state
    if value.kind.startswith("scipy.sparse") and value.kind.endswith("csc_matrix"):
        return _dense_from_columns(state)
    if value.kind == "chumpy.ch.Ch":
        return _numbers(state["x"])
    if value.kind == "chumpy.reordering.Select":  # some of the (flattened) entries
        chosen = _array(state["a"]).ravel()[_numbers(state["idxs"])]
        return chosen if state.get("preferred_shape") is None else chosen.reshape(state["preferred_shape"])
    raise ValueError(f"an object {value.kind}")


def _numbers(value) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype}")
    return array


def _dense_from_columns(state: dict) -> np.ndarray:
    n_rows, n_columns = (int(v) for v in state["_shape"])
    values, rows, start = (_numbers(state[name]) for name in ("data", "indices", "indptr"))
    if not (0 < n_rows < 1000 and 0 < n_columns < 100_000):
        raise ValueError("a sparse matrix of unusual size")
    if len(start) != n_columns + 1 or start[-1] != len(values) or (np.diff(start.astype(np.int64)) < 0).any():
        raise ValueError("a sparse matrix whose parts disagree")
    dense = np.zeros((n_rows, n_columns))
    dense[rows, np.repeat(np.arange(n_columns), np.diff(start))] = values
    return dense


def _make(arrays: dict[str, np.ndarray]) -> BodyModel:
    parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
    parents[0] = -1  # the files have 2^32 - 1 there
    n_joints = len(parents)
    if n_joints not in N_JOINTS:
        raise ValueError(f"{n_joints} joints")
    if (parents[1:] < 0).any() or (parents[1:] >= np.arange(1, n_joints)).any():
        raise ValueError("joints before their parents")
    kind = N_JOINTS[n_joints]
    template = np.asarray(arrays["v_template"], np.float64)
    n = len(template)
    basis = np.asarray(arrays["shapedirs"], np.float32).reshape(n, 3, -1)
    n_coefficients = basis.shape[2]
    shape_end = n_coefficients
    if kind == "smplx" and n_coefficients > 10:
        shape_end = N_SHAPE_SPLIT if n_coefficients > N_SHAPE_SPLIT else 10
    hands_given = kind != "smpl" and all(name in arrays for name in _HANDS)
    means, bases = np.zeros((2, 45)), np.tile(np.eye(45), (2, 1, 1))
    if hands_given:
        means = np.stack([np.asarray(arrays[f"hands_mean{s}"], np.float64).reshape(45) for s in "lr"])
        bases = np.stack([np.asarray(arrays[f"hands_components{s}"], np.float64).reshape(45, 45) for s in "lr"])
    return BodyModel(
        kind=kind,
        template=template.reshape(n, 3),
        shape_basis=basis,
        pose_basis=np.asarray(arrays["posedirs"], np.float32).reshape(n, 3, 9 * (n_joints - 1)),
        joint_regressor=np.asarray(arrays["J_regressor"], np.float64).reshape(n_joints, n),
        parents=parents,
        weights=np.asarray(arrays["weights"], np.float32).reshape(n, n_joints),
        faces=np.asarray(arrays["f"]).astype(np.int64).reshape(-1, 3),
        expression_start=shape_end,
        hand_means=means,
        hand_bases=bases,
    )
