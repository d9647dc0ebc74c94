"""The affine-combining autoencoder as a library of its own, NumPy in and out: fit, save, load, encode, convert."""

_HOME = {
    "Acae": "autoencoder",
    "consistency_metrics": ".evaluation.consistency",
    "convert_poses": "convert",
    "fit_acae": "fitting",
    "load_poses": "poses_io",
    "train_acae": "command",
    "translate": "convert",
}


def __getattr__(name: str):
    """Imports on first use, so that a command's help answers at once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
