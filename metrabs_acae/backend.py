"""Keras as this project needs it, whatever the user's environment and keras.json say."""

from __future__ import annotations

import importlib
import os

from metrabs_acae.errors import UserError

BACKENDS = ("tensorflow", "jax")


def set_up_keras() -> None:
    """Imports Keras on the backend that KERAS_BACKEND names (else TensorFlow), with the settings that the models are
    written for; UserError for other backends and for one that cannot be imported."""
    backend = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    if backend not in BACKENDS:
        raise UserError(f"KERAS_BACKEND={backend} cannot be used here; set it to {' or '.join(BACKENDS)}.")
    try:
        import keras
    except ImportError as error:
        raise UserError(f"Keras cannot be used with KERAS_BACKEND={backend} ({error}): install {backend}.") from None
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def import_tensorflow_quietly() -> None:
    """TensorFlow's native code writes notes about the machine to stderr as it loads, before any log level counts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        importlib.import_module("tensorflow")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
