"""The models and their losses."""

_HOME = {
    "Metrabs": "metrabs",
    "build_backbone": "backbones",
    "Metro": "metro",
    "Model25D": "model25d",
}


def __getattr__(name: str):
    """Imports on first use, so that `import metrabs_acae.models` does not load Keras."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
