"""What can be set of an exported model."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Export:
    """Settings of --export."""

    detector: str = setting("movenet")
    """'movenet', 'ssdlite' (extra [detector]), the folder of a SavedModel (see inference/detectors.py) or 'none'."""
    bone_lengths: str = setting("")
    """File of `python -m data_processing bone-lengths`, to judge detected poses by, or 'none'; empty: measured on the
    run's stores."""
    crop_formats: tuple[Literal["onnx", "litert"], ...] = setting(())
    """Write the network alone in these formats too, with what runs them on NumPy, into crop_model/ in the model."""
    crop_batch_size: int = setting(1, above=0)
    """Crops per call of those files."""
    portable: tuple[Literal["onnx", "litert"], ...] = setting(())
    """Write the whole way from picture to poses, and the detector, as one file each in these formats, into portable/
    in the model."""
    portable_precisions: tuple[Literal["float32", "float16", "int8"], ...] = setting(("float32",))
    """Of the weights in those files: one file for each, beside that in float32."""
    web: str = setting("")
    """Folder to write a web page into that runs the model in the browser, for any file server (see docs/web.md)."""
    web_runtime: str = setting("")
    """The npm package onnxruntime-web, which the page runs on, as a folder or .tgz; empty: npm fetches it."""
    archive: bool = setting(False)
    """Write a .tar.gz of the folder too."""
    serving: tuple[Literal["tensorflow", "triton", "tfhub"], ...] = setting(())
    """Beside FILE also the folders FILE.tensorflow (for TensorFlow Serving) and FILE.triton, or the archive
    FILE.tfhub.tar.gz that tensorflow_hub loads from a web server."""
    rotation_mode: Literal["limited", "full", "half_full"] = setting("limited", flag="tta_rotation")
    """Turns at test time: by 25 degrees at most (less if trained with less), by any angle, or half of them by any."""
    skeletons: tuple[str, ...] = setting(())
    """Your own named skeletons, each MODULE:NAME of a `Skeleton` whose joints the model has."""
    licence_notes: str = setting("")
    """Text for the model card."""
