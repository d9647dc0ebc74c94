"""Variants and loss terms as records: one's own from outside, and records that cannot work."""

import numpy as np
import pytest
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.models import losses, variants
from metrabs_acae.models.losses import LossWeights, register_loss_term, term_weights
from metrabs_acae.models.variants import VARIANTS, Variant, get_variant, register_variant
from tests.models.tiny import LOSS, NAMES, tiny_batch, tiny_model


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    monkeypatch.setattr(variants, "VARIANTS", dict(VARIANTS))
    monkeypatch.setattr(losses, "LOSS_TERMS", dict(losses.LOSS_TERMS))
    monkeypatch.setattr(losses, "LATE_TERMS", set(losses.LATE_TERMS))


def flatness(half):
    assert len(half.labels) == 2 and len(half.labels[f"valid{half.name}"]) == len(half.points["joints"])
    return ops.mean(ops.abs(half.points["joints"][..., 2])) / 1000


def test_a_variant_and_a_loss_term_of_ones_own_train():
    """Joints first, then latents; the output is the joints; a term that both halves have, from step 5001 on."""
    register_loss_term("flatness", flatness, late=True)
    mine = Variant(
        "mine",
        points=("joints", "latents"),
        losses=lambda weights, half: {"pose": 1.0, "decoded": 0.5, "flatness": 3.0 if half == "3d" else 0.0},
    )
    model = tiny_model(register_variant(mine).name)
    batch = tiny_batch()
    total, terms, points = model.compute_losses(batch, step=5001, **LOSS)
    depth = np.asarray(points["joints"])[:4, :, 2]
    np.testing.assert_allclose(terms["flatness_3d"], np.abs(depth).mean() / 1000, rtol=1e-5)
    by_hand = sum(
        factor * float(terms[f"pose_{half}"] + 0.5 * terms[f"decoded_{half}"])
        for half, factor in (("3d", 1.0), ("2d", 0.2))
    )
    np.testing.assert_allclose(total, by_hand + 3 * float(terms["flatness_3d"]), rtol=1e-5)
    before, *_ = model.compute_losses(batch, step=5000, **LOSS | {"gates": LOSS["gates"].of_run()})
    assert float(before) < float(total) - 2 * float(terms["flatness_3d"])
    inputs = {name: batch[name] for name in ("image", "intrinsics")}
    poses = model(inputs)
    assert poses.shape == (7, len(NAMES), 3) and not model.decodes_latents
    np.testing.assert_allclose(poses, model.points(**inputs)["joints"], rtol=1e-6)
    np.testing.assert_allclose(model.inference_outputs(inputs)["coords3d_mm"], poses, rtol=1e-4, atol=0.1)


def test_a_variant_says_what_it_starts_from_and_what_is_copied():
    second = register_variant(
        Variant(
            "second",
            ("latents", "joints"),
            VARIANTS["hybrid"].losses,
            True,
            starts_from=("hybrid",),
            copies=("latents",),
        )
    )
    initial, model = tiny_model("hybrid"), tiny_model(second)
    model.head.conv.set_weights([w * 0 for w in model.head.conv.get_weights()])
    model.initialize_from(initial)
    latents, joints = model.parts["latents"], model.parts["joints"]
    for mine, theirs in zip(model.head.point_weights(latents), initial.head.point_weights(latents), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.any(model.head.point_weights(joints)[0])
    with pytest.raises(UserError, match="of variant 'separate', expected hybrid"):
        model.initialize_from(tiny_model())


def test_weights_by_variant_and_half():
    weights = LossWeights(manifold=3.0, manifold_2d=0.5, teacher=2.0)
    assert term_weights("regularize", weights, half="3d") == {"pose": 1, "manifold": 3}
    assert term_weights("regularize", weights, half="2d") == {"pose": 1, "manifold": 1.5}
    of_hybrid = {"pose": 1, "decoded": 1, "manifold": 0.75, "autoencoded": 1, "teacher": 1}
    assert term_weights("hybrid", weights, half="2d") == of_hybrid
    assert term_weights(get_variant("latent"), half="2d") == {"decoded": 1}


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Variant("v", ("joints", "bones"), None), "points are latents, joints or both; got joints, bones"),
        (lambda: Variant("v", ("latents", "joints"), None, needs_acae=False), "set needs_acae"),
        (lambda: Variant("v", ("joints",), None, decodes_latents=True), "must be among the head's points"),
        (lambda: Variant("v", ("latents",), None, decodes_latents=True), "must be among the head's points"),
        (lambda: register_variant(Variant("hybrid", ("joints",), None)), "another variant 'hybrid' already"),
        (lambda: register_loss_term("pose", flatness), "another loss term 'pose' already"),
        (
            lambda: term_weights(Variant("v", ("joints",), lambda weights, half: {"bones": 1.0}), half="3d"),
            "no loss term bones; there are pose, decoded",
        ),
        (lambda: get_variant("both"), "variant is 'both', expected one of separate, regularize, latent, hybrid"),
    ],
)
def test_what_cannot_work_is_named(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
