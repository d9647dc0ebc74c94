"""Keras layers of the method."""

_HOME = {
    "AffineCombination": "affine_combination",
    "GhostBatchNormalization": "ghost_batch_norm",
    "HeatmapHeads": "heatmap_heads",
    "VolumetricHead": "heatmap_heads",
}


def __getattr__(name: str):
    """Imports on first use, so that `import metrabs_acae.layers` does not load Keras."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
