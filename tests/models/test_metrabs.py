"""The whole model: forward pass, training losses and gradients against the reference; variants; compilation."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.geometry import perspective
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import joint_group_matrix
from metrabs_acae.models.metrabs import Metrabs
from metrabs_acae.skeletons import Skeleton, prefix_groups
from tests.golden import golden
from tests.models.tiny import LOSS, tiny_batch, tiny_model

VARIANTS = {"separate": "plain", "regularize": "manifold", "latent": "transform", "hybrid": "hybrid"}


@pytest.fixture(scope="module")
def arrays():
    return golden("g1_trainstep")


def model_of(arrays, variant, **kwargs):
    """The golden file's model: one 32x32 convolution as backbone, and the reference's weights."""
    image = keras.Input((256, 256, 3))
    backbone = keras.Model(image, keras.layers.Conv2D(24, 32, 32, activation="relu")(image))
    acae = SimpleNamespace(encoder=arrays["w1"], decoder=arrays["w2"])
    model = Metrabs(backbone, Skeleton("ten", tuple(arrays["names3d"])), variant=variant, acae=acae, **kwargs)
    backbone.set_weights([arrays["bb_kernel_f16"].astype(np.float32), arrays["bb_bias"]])
    name = VARIANTS[variant]
    model.head.conv.set_weights([arrays[f"{name}_head_kernel"], arrays[f"{name}_head_bias"]])
    return model


def batch_of(arrays):
    k = arrays["intrinsics"]
    batch = {
        "image": (arrays["images_u8"] / 255).astype(np.float32),
        "intrinsics": np.concatenate([k, k[::-1]]),
        "coords3d_mm": arrays["coords3d_true"],
        "valid3d": arrays["mask"],
        "coords2d_px": arrays["coords2d_true_2d"],
        "valid2d": arrays["mask_2d"],
    }
    return {key: tf.constant(value) for key, value in batch.items()}


def train_step(model, batch, arrays):
    """step -> (loss, terms, points, gradients) as one compiled function of the step."""
    groups = joint_group_matrix(prefix_groups(arrays["names2d"], arrays["names3d"]), 10)
    mix = arrays["mix"][:, 0, 0]

    @tf.function
    def run(step):
        with tf.GradientTape() as tape:
            total, terms, points = model.compute_losses(
                batch, step=step, gates=Gates(), mix=mix, joint_groups_2d=groups
            )
        return total, terms, points, tape.gradient(total, model.trainable_weights)

    return lambda step: run(tf.constant(step))


def rms_over_the_batch(x):
    return tf.ones_like(x[:, :1, :1]) * tf.sqrt(tf.reduce_mean(tf.square(x)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_step_agrees_with_the_reference(arrays, variant, monkeypatch):
    """Step 0 (weak perspective): to float32. Steps 600 and 6000: with the reference's batch-wide scaling put in.

    There the reference's own float32 solver is the limit: its gradients through random heads, all of whose
    points lie together near the middle, change by up to 3e-3 between one Cholesky solver and another.
    """
    monkeypatch.setattr(perspective, "_rms", rms_over_the_batch)
    model = model_of(arrays, variant)
    run = train_step(model, batch_of(arrays), arrays)
    for step in (0, 600, 6000):
        prefix = f"{VARIANTS[variant]}_step{step}"
        total, _, points, gradients = run(step)
        np.testing.assert_allclose(total, arrays[f"{prefix}_loss"], rtol=1e-5 if step == 0 else 1e-4)
        joints = points["joints"] if "joints" in points else model.output_joints(points)
        pred = np.asarray(joints)
        theirs = np.concatenate([arrays[f"{prefix}_coords3d_pred_abs{half}"] for half in ("", "2d")])
        np.testing.assert_allclose(pred, theirs, rtol=1e-4, atol=0.05)
        gradients = [tf.reduce_sum(gradients[0], (0, 1)), *gradients[1:]]
        for ours, key in zip(gradients, ("bbkernel_sum_over_hw", "bb_bias", "head_kernel", "head_bias"), strict=True):
            theirs = arrays[f"{prefix}_grad_{key}"]
            tolerance = 5e-5 if step == 0 else 6e-3
            np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max(), err_msg=key)


@pytest.mark.parametrize("variant", VARIANTS)
def test_inference_agrees_with_the_reference(arrays, variant, monkeypatch):
    model = model_of(arrays, variant)
    inputs = {"image": batch_of(arrays)["image"][:4], "intrinsics": arrays["intrinsics"]}
    ours = model(inputs, training=False)
    # The deliberate deviation (scaling per example) on this batch: up to 14 mm for near people.
    np.testing.assert_allclose(ours, arrays[f"{VARIANTS[variant]}_infer"], atol=15)
    monkeypatch.setattr(perspective, "_rms", rms_over_the_batch)
    np.testing.assert_allclose(model(inputs), arrays[f"{VARIANTS[variant]}_infer"], rtol=1e-4, atol=0.1)


def test_parts_switch_on_at_their_steps():
    model, batch = tiny_model("hybrid"), tiny_batch()

    @tf.function
    def run(step):
        return model.compute_losses(batch, step=step, **LOSS)[0]

    losses = {step: float(run(tf.constant(step))) for step in (499, 500, 5000, 5001)}
    assert abs(losses[499] - losses[500]) > 1e-4  # weak to full perspective
    assert losses[5000] == losses[500]
    assert losses[5001] > losses[5000]


def test_a_batch_without_2d_labels_trains():
    model, batch = tiny_model(), tiny_batch(n_2d=0)
    settings = LOSS | {"mix": LOSS["mix"][:4], "step": 6000}
    empty, empty_terms, _ = model.compute_losses(batch, **settings)
    only_3d = {k: v for k, v in batch.items() if "2d" not in k}
    without, terms, _ = model.compute_losses(only_3d, **settings | {"joint_groups_2d": None})
    np.testing.assert_allclose(empty, without, rtol=1e-6)
    assert "pose_2d" not in terms and float(empty_terms["pose_2d"]) == 0


def test_the_autoencoder_is_frozen_and_part_of_the_state(arrays):
    model = model_of(arrays, "hybrid")
    model.trainable = False
    model.trainable = True
    assert len(model.trainable_weights) == 4  # two kernels, two biases
    assert len(model.non_trainable_weights) == 2  # without names of latents, all points count as central
    np.testing.assert_allclose(model.encoder.matrix(), arrays["w1"], atol=1e-6)
    np.testing.assert_allclose(model.decoder.matrix(), arrays["w2"], atol=1e-6)


def test_fine_tuning_starts_from_the_separate_model(arrays):
    trained = model_of(arrays, "separate")
    images = batch_of(arrays)["image"]
    before = trained.heads(images)
    for variant in ("regularize", "hybrid"):
        model = model_of(arrays, variant)
        model.backbone.set_weights([w * 0 for w in model.backbone.get_weights()])
        model.initialize_from(trained)
        for old, new in zip(before, model.heads(images), strict=True):
            np.testing.assert_allclose(new[:, -10:], old, rtol=1e-5)
    with pytest.raises(UserError, match="expected separate"):
        trained.initialize_from(model)


def test_new_joints_start_as_combinations_of_the_old_ones(arrays):
    trained = model_of(arrays, "separate")
    names = trained.skeleton.joint_names
    model = Metrabs(trained.backbone, Skeleton("own", (names[4], "between", "unknown")))
    kept = model.head.point_weights(slice(2, 3))
    shares = np.zeros((len(names), 3))
    shares[4, 0], shares[[0, 2], 1], shares[:, 2] = 1, 0.5, np.nan
    model.initialize_from(trained, joints=shares)
    old, new = (m.head.conv(m.backbone(batch_of(arrays)["image"])) for m in (trained, model))
    old, new = (np.reshape(x, (*x.shape[:3], -1, n)) for x, n in ((old, len(names)), (new, 3)))
    np.testing.assert_allclose(new[..., 0], old[..., 4], atol=1e-5)
    np.testing.assert_allclose(new[..., 1], (old[..., 0] + old[..., 2]) / 2, atol=1e-5)
    for before, after in zip(kept, model.head.point_weights(slice(2, 3)), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("variant", ["latent", "hybrid"])
def test_latents_start_as_the_encoder_combines_the_joints(arrays, variant):
    trained, model = model_of(arrays, "separate"), model_of(arrays, variant)
    model.initialize_from(trained, encoded_latents=True)
    joints, latents = (
        m.head.conv(m.backbone(batch_of(arrays)["image"])).numpy().reshape(-1, 1 + m.head.depth, n)
        for m, n in ((trained, trained.head.n_points), (model, model.head.n_points))
    )
    expected = joints @ arrays["w1"]
    np.testing.assert_allclose(latents[..., model.parts["latents"]], expected, atol=1e-4 * np.abs(expected).max())
    others = Metrabs(trained.backbone, Skeleton("own", [f"j{i}" for i in range(trained.skeleton.n_joints)]))
    with pytest.raises(UserError, match="joints that the initial model does not know"):
        model_of(arrays, variant).initialize_from(others, encoded_latents=True)


def test_new_heads_start_from_a_regularized_model(arrays):
    """Its autoencoder is of no use to a model without one, or with another; its heads are."""
    trained = model_of(arrays, "regularize")
    model = Metrabs(trained.backbone, trained.skeleton)
    model.initialize_from(trained)
    for mine, theirs in zip(model.head.get_weights(), trained.head.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_latent_losses_can_be_kept_from_the_backbone(arrays):
    """With the features stopped, the backbone's gradient is that of the joint channels alone."""
    batch = batch_of(arrays)
    for stop in (False, True):
        model = model_of(arrays, "hybrid", stop_gradient_features=stop)
        with tf.GradientTape() as tape:
            coords2d, _ = model.heads(batch["image"], training=True)
            loss = tf.reduce_sum(coords2d[:, : model.n_latents])
        backbone, head = model.backbone.trainable_weights, model.head.trainable_weights
        gradients = tape.gradient(loss, backbone + head, unconnected_gradients="zero")
        assert (np.abs(gradients[0]).max() == 0) == stop
        assert np.abs(gradients[2]).max() > 0


def test_mirrored_images_give_mirrored_poses(arrays):
    """A network whose weights are mirrored, on mirrored images, predicts mirrored and swapped joints."""
    names = ("lhip", "rhip", "pelv", "lkne", "rkne")
    skeleton = Skeleton("five", names)
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(32, 32, 3, 6)).astype(np.float32) * 0.05
    head_kernel = rng.normal(size=(1, 1, 6, 9, 5)).astype(np.float32)

    def build(mirrored):
        image = keras.Input((256, 256, 3))
        backbone = keras.Model(image, keras.layers.Conv2D(6, 32, 32)(image))
        model = Metrabs(backbone, skeleton, weak_perspective=True)
        backbone.set_weights([kernel[:, ::-1] if mirrored else kernel, np.zeros(6)])
        head = head_kernel[..., skeleton.mirror] if mirrored else head_kernel
        model.head.conv.set_weights([head.reshape(1, 1, 6, 45), np.zeros(45)])
        return model

    images = rng.uniform(size=(2, 256, 256, 3)).astype(np.float32)
    intrinsics = np.tile(np.array([[500, 0, 128], [0, 500, 128], [0, 0, 1]], np.float32), (2, 1, 1))
    straight = np.asarray(build(False)({"image": images, "intrinsics": intrinsics}))
    mirrored = np.asarray(build(True)({"image": images[:, :, ::-1], "intrinsics": intrinsics}))
    np.testing.assert_allclose(mirrored, (straight * [-1, 1, 1])[:, skeleton.mirror], rtol=1e-4, atol=0.05)


def test_mixed_precision_leaves_geometry_in_float32(arrays):
    full = model_of(arrays, "separate")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = model_of(arrays, "separate")
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.head.conv.compute_dtype == "float16"
    inputs = {"image": batch_of(arrays)["image"][:4], "intrinsics": arrays["intrinsics"]}
    exact, coarse = full(inputs), mixed(inputs)
    assert coarse.dtype == tf.float32
    # Only convolutions are coarse (logits to 1e-3): a per mille of the 1 to 2 m distances.
    np.testing.assert_allclose(coarse, exact, rtol=0.01, atol=5)


@pytest.mark.parametrize(
    "kwargs, sentence",
    [
        ({"variant": "both"}, "variant is 'both', expected one of separate, regularize, latent, hybrid"),
        ({"variant": "latent"}, "variant 'latent' needs acae"),
        (
            {"variant": "latent", "acae": SimpleNamespace(encoder=np.ones((3, 2)), decoder=np.ones((2, 3)))},
            r"acae.encoder has shape \[3, 2\], expected \[4, \*\]",
        ),
        (
            {"variant": "latent", "acae": SimpleNamespace(encoder=np.ones((4, 2)), decoder=np.ones((3, 4)))},
            r"acae.decoder has shape \[3, 4\], expected \[2, 4\]",
        ),
        ({"stride": 16}, r"features have shape \[None, 2, 2, 5\], expected \[\*, 4, 4, \*\]"),
    ],
)
def test_bad_settings_are_named(kwargs, sentence):
    image = keras.Input((64, 64, 3))
    backbone = keras.Model(image, keras.layers.Conv2D(5, 32, 32)(image))
    with pytest.raises(UserError, match=sentence):
        Metrabs(backbone, Skeleton("four", ("a", "b", "c", "d")), **kwargs)


def test_bad_inputs_are_named(arrays):
    model = model_of(arrays, "separate")
    with pytest.raises(UserError, match=r"image has shape \[1, 128, 128, 3\], expected \[\*, 256, 256, 3\]"):
        model({"image": np.zeros((1, 128, 128, 3)), "intrinsics": np.eye(3)[None]})
    with pytest.raises(UserError, match=r"intrinsics has shape \[3, 3\], expected \[\*, 3, 3\]"):
        model({"image": np.zeros((1, 256, 256, 3)), "intrinsics": np.eye(3)})


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"coords3d_mm": np.zeros((4, 8, 3))}, r"coords3d_mm has shape \[4, 8, 3\], expected \[\*, 7, 3\]"),
        ({"valid2d": np.zeros((3, 5))}, r"valid2d has shape \[3, 5\], expected \[\*, 3\]"),
        ({"intrinsics": np.zeros((7, 9))}, r"intrinsics has shape \[7, 9\], expected \[\*, 3, 3\]"),
    ],
)
def test_training_batches_that_do_not_fit_are_named(change, sentence):
    model = tiny_model()
    with pytest.raises(UserError, match=sentence):
        model.compute_losses(tiny_batch() | change, step=0, **LOSS)
    batch = tiny_batch()
    del batch["valid3d"]
    with pytest.raises(UserError, match="batch has no valid3d"):
        model.compute_losses(batch, step=0, **LOSS)
    with pytest.raises(UserError, match=r"joint_groups_2d has shape \[6, 2\], expected \[7, \*\]"):
        model.compute_losses(tiny_batch(), step=0, **LOSS | {"joint_groups_2d": np.ones((6, 2))})
