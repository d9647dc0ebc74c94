"""What every backbone must do, whoever registered it.

    python -m tests.models.conformance [NAME ...]

checks these by name (MODULE:NAME too), or all there are, and prints what fails. The test suite does the same with three
small ones. A check is a function of a backbone's name that raises AssertionError.
"""

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from metrabs_acae.geometry.heatmaps import heatmap_to_image
from metrabs_acae.layers import GhostBatchNormalization
from metrabs_acae.models.backbones import ImageScaling, backbone_names, build_backbone, import_backbone
from metrabs_acae.models.backbones.build import stride_of
from metrabs_acae.models.backbones.registry import find_backbone

SIZE = 64
LARGE = 768
"""At 256 px the border cuts the receptive fields, so that their centres are others."""


def images(n: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(n, size, size, 3)).astype(np.float32)


def trunk_of(backbone) -> keras.Model:
    return next(layer for layer in backbone.layers if isinstance(layer, keras.Model))


def has_square_map_and_a_whole_stride(name):
    backbone = build_backbone(name, SIZE)
    features = backbone(images(2))
    assert tuple(features.shape) == (2, *backbone.output_shape[1:]), features.shape
    assert features.shape[1] == features.shape[2] == SIZE // stride_of(backbone), features.shape
    assert np.isfinite(ops.convert_to_numpy(features)).all()


def scales_as_keras_does(name):
    """Keras's own preprocessing of pixels 0..255, which some of its networks do inside; others have no such twin."""
    constructor, preprocess = keras_twin(name)
    if constructor is None:
        return
    pixels = 255 * images(1, 32)
    scaling = next(layer for layer in build_backbone(name, 32).layers if isinstance(layer, ImageScaling))
    twin = constructor(include_top=False, weights=None, input_shape=(32, 32, 3))
    expected = preprocess(pixels.copy())
    for layer in twin.layers:
        if isinstance(layer, (layers.Rescaling, layers.Normalization)):
            expected = layer(expected)
    expected = ops.convert_to_numpy(expected)
    np.testing.assert_allclose(scaling(pixels / 255), expected, atol=2e-5 * np.abs(expected).max())


def keras_twin(name):
    """(constructor, preprocessing function) of the Keras application that a name says; (None, None) without one."""
    wanted = name.removesuffix("-mini").replace("-", "")
    found = [a for a in vars(keras.applications).values() if getattr(a, "__name__", "").lower() == wanted]
    if not found:
        return None, None
    families = {"efficientnetv2": "efficientnet_v2", "mobilenetv2": "mobilenet_v2", "mobilenetv3": "mobilenet_v3"}
    family = next((module for stem, module in families.items() if wanted.startswith(stem)), "resnet")
    if family == "resnet" and wanted.endswith("v2"):
        family = "resnet_v2"
    return found[0], getattr(keras.applications, family).preprocess_input


def cells_look_where_heatmaps_say(name):
    for centered in (True, False):
        backbone = build_backbone(name, LARGE, centered_stride=centered)
        make_linear(trunk_of(backbone))
        n_exact = getattr(find_backbone(name), "n_exact", None)
        centers, weights = receptive_field_centers(backbone.layers[2:], LARGE, n_exact)
        n = len(weights)
        whole = weights > 0.999 * weights.max()  # what sees the border has its centre elsewhere
        assert whole[n // 2, n // 2], "the receptive fields are too large to be measured"
        cells = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1) / (n - 1)
        expected = heatmap_to_image(
            cells, image_size=LARGE, stride=stride_of(backbone, LARGE), centered_stride=centered
        )
        np.testing.assert_allclose(centers[whole], expected[whole], atol=0.5, err_msg=f"centered_stride={centered}")


def make_linear(model):
    """Every output becomes a positive average of the pixels in its receptive field: equal weights, no side effects."""
    for layer in model._flatten_layers():
        if isinstance(layer, layers.MaxPooling2D):
            layer.pool_mode = "average"  # ties would be given to the top left pixel
        if isinstance(layer, keras.Model):
            continue
        for weight in layer.weights:
            if weight.name in ("kernel", "depthwise_kernel"):
                fan_in = np.prod(weight.shape[:2] if "depthwise" in weight.name else weight.shape[:3])
                is_gate = "_se_" in layer.name or "squeeze_excite" in layer.name  # reaches over the whole image
                weight.assign(np.full(weight.shape, 0 if is_gate else 1 / fan_in))
            else:
                weight.assign(np.full(weight.shape, float(weight.name in ("gamma", "moving_variance"))))


def receptive_field_centers(chain, size, n_exact=None):
    """([h, w, 2] centroids (x, y) in px of the gradient of each cell with respect to the image, [h, w] its sums).

    `n_exact`: only so many features count (`Backbone.n_exact`).

    `chain` is the layers behind the scaling, linear where all is nearly black. So an image proportional to x gives
    every cell the sum of x over its gradient, a constant one the sum of the gradient; their ratio is the centroid.
    """
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    features = 1e-6 / size * np.stack([x, y, np.ones_like(x)])[..., None].repeat(3, axis=-1).astype(np.float32)
    for layer in chain:
        features = layer(features)
    sums = ops.convert_to_numpy(features)[..., :n_exact].sum(axis=-1, dtype=np.float64)
    return np.stack([sums[0], sums[1]], axis=-1) / sums[2][..., None], sums[2]


def normalizes_ghost_groups(name):
    backbone = build_backbone(name, SIZE, ghost_group_size=2, batch_norm_momentum=0.9)
    norms = [layer for layer in backbone._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    assert all(isinstance(n, GhostBatchNormalization) and n.group_size == 2 and n.momentum == 0.9 for n in norms)
    for layer in backbone._flatten_layers():
        if isinstance(layer, layers.Dropout):
            layer.rate = 0
    batch = np.concatenate([images(2), 1 - images(2) ** 2])
    together, alone = (ops.convert_to_numpy(backbone(x, training=True)) for x in (batch, batch[2:]))
    np.testing.assert_allclose(together[2:], alone, atol=1e-3 * np.abs(alone).max())


def comes_back_from_a_file(name):
    backbone = build_backbone(name, SIZE, ghost_group_size=[2, 3])
    with tempfile.TemporaryDirectory() as folder:
        backbone.save(Path(folder) / "backbone.keras")
        reloaded = keras.models.load_model(Path(folder) / "backbone.keras")
    expected = ops.convert_to_numpy(backbone(images(2)))
    np.testing.assert_allclose(reloaded(images(2)), expected, atol=1e-5 * np.abs(expected).max())


def runs_in_half_precision(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        backbone = build_backbone(name, SIZE, ghost_group_size=2)
    finally:
        keras.config.set_dtype_policy("float32")
    features = backbone(images(4), training=True)
    assert keras.backend.standardize_dtype(features.dtype) == "float16", features.dtype
    assert np.isfinite(ops.convert_to_numpy(ops.cast(features, "float32"))).all()
    assert all(w.dtype == "float32" for w in backbone.weights if w.dtype.startswith("float"))


CHECKS = (
    has_square_map_and_a_whole_stride,
    scales_as_keras_does,
    cells_look_where_heatmaps_say,
    normalizes_ghost_groups,
    comes_back_from_a_file,
    runs_in_half_precision,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="backbones to check; none: all")
    names = parser.parse_args().names
    n_failed = 0
    for name in names or backbone_names():
        if ":" in name:
            import_backbone(name)
        for check in CHECKS:
            keras.backend.clear_session(free_memory=True)
            try:
                check(name)
            except Exception:
                n_failed += 1
                print(f"FAILED {name}: {check.__name__}\n{traceback.format_exc(limit=-1)}", flush=True)
            else:
                print(f"ok     {name}: {check.__name__}", flush=True)
    return min(n_failed, 1)


if __name__ == "__main__":
    sys.exit(main())
