"""Backbones: networks that turn a crop into a feature map, from any source, adapted for localization.

`record` says what a backbone is, `registry` knows them by name, `build` makes one, `adaptation` changes what has to be
changed in a network as it was published, `freezing` keeps the first layers of one fixed.
"""

_HOME = {
    "build_backbone": "build",
    "Backbone": "record",
    "Scaling": "record",
    "register_backbone": "registry",
    "backbone_names": "registry",
    "import_backbone": "registry",
    "ImageScaling": "layers",
    "ShiftedImage": "layers",
    "StopGradient": "layers",
    "PaddedConv2D": "layers",
    "PaddedDepthwiseConv2D": "layers",
    "PaddedMaxPooling2D": "layers",
}


def __getattr__(name: str):
    """Imports on first use: the records must be at hand without Keras."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)
