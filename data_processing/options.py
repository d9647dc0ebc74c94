"""What the command line chooses for all converters."""

from __future__ import annotations

from metrabs_acae.settings import setting, settings


@settings
class Options:
    """What is converted, and with what help."""

    split: str = setting("")
    """Convert only this split (train, valid, test); empty: all."""
    detector: str = setting("none")
    """Finds people: none, json:FILE, movenet, ssdlite, onnx:FILE or savedmodel:FOLDER."""
    segmenter: str = setting("none")
    """Finds people's pixels, for background replacement: none, mediapipe, masks:FOLDER, tflite:FILE, onnx:FILE or
    savedmodel:FOLDER."""
    limit: int = setting(0, at_least=0)
    """Convert only the first so many units (videos, sequences) for a quick look; 0: all."""
    body_models: str = setting("")
    """Folder with the SMPL, SMPL-H and SMPL-X model files that some datasets need; empty: body_models in --raw."""
    as_published: bool = setting(False)
    """Leave the dataset's known faults (`list --name`) as they are; without it they are mended or left out."""
