"""The fitted object: equivariance, files, order of joints, thresholding, conversion."""

import numpy as np
import pytest

from metrabs_acae.acae import Acae, convert_poses
from metrabs_acae.acae import convert as conversion
from metrabs_acae.acae.__main__ import main
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import load_predictions
from metrabs_acae.inference.pose_files import People, PoseLog, Source, write_json, write_poses_npz
from metrabs_acae.layers import blocks
from metrabs_acae.skeletons import get_skeleton
from tests.golden import golden


def make_acae(names, n_pairs=3, n_center=2, seed=0):
    """Random mirror-equivariant signed weights."""
    rng = np.random.default_rng(seed)
    layout = blocks.layout_of(names)

    def draw(pairs_in, center_in, pairs_out, center_out):
        matrix = blocks.assemble(
            rng.uniform(-0.1, 1, (2 * pairs_in + center_in, pairs_out)),
            rng.uniform(-0.1, 1, (pairs_in + center_in, center_out)),
            pairs_in,
        )
        return blocks.normalize_columns(matrix)

    return Acae(
        draw(layout.n_pairs, layout.n_center, n_pairs, n_center)[layout.inverse],
        draw(n_pairs, n_center, layout.n_pairs, layout.n_center)[:, layout.inverse],
        tuple(names),
        blocks.latent_names(n_pairs, n_center),
        settings={"weights": "affine"},
    )


@pytest.fixture(scope="module")
def acae():
    names = get_skeleton("h36m_17").joint_names + get_skeleton("smpl_24").joint_names
    acae = make_acae(names)
    latents = np.random.default_rng(3).normal(0, 300, (500, acae.n_latents, 3))
    latents -= latents.mean(axis=1, keepdims=True)
    gram = np.einsum("kld,kmd->lm", latents, latents) / 500
    return Acae(acae.encoder, acae.decoder, names, acae.latent_names, gram, acae.settings)


@pytest.fixture
def poses(acae):
    return np.random.default_rng(1).normal(0, 400, (7, acae.n_joints, 3)) + [100, -200, 4000]


def test_encoding_commutes_with_affine_maps(acae, poses):
    rng = np.random.default_rng(2)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(0, 1000, 3)
    for function in (acae.encode, acae.reconstruct):
        np.testing.assert_allclose(function(poses @ matrix.T + shift), function(poses) @ matrix.T + shift, atol=1e-8)


def test_encoding_commutes_with_mirroring(acae, poses):
    joints, latents = blocks.layout_of(acae.joint_names).mirror, blocks.layout_of(acae.latent_names).mirror
    flip = np.array([-1.0, 1, 1])
    np.testing.assert_allclose(acae.encode(poses[:, joints] * flip), acae.encode(poses)[:, latents] * flip, atol=1e-9)


def test_the_references_matrices_have_the_block_structure_in_our_joint_order():
    arrays = golden("g2_acae_layer_chiral")
    block_names = [f"{s}{i}_x" for s in "lr" for i in range(5)] + [f"c{i}_x" for i in range(3)]
    layout = blocks.layout_of([block_names[i] for i in arrays["perm"]])
    assert layout.n_pairs == 5 and layout.n_center == 3
    encoder, decoder = arrays["perm_w1"], arrays["perm_w2"]
    ordered = encoder[layout.order]
    np.testing.assert_allclose(blocks.assemble(*blocks.disassemble(ordered, 5, 3), 5), ordered, atol=1e-6)
    np.testing.assert_array_equal(ordered[layout.inverse], encoder)
    ordered = decoder[:, layout.order]
    np.testing.assert_allclose(blocks.assemble(*blocks.disassemble(ordered, 3, 5), 3), ordered, atol=1e-6)


def test_files_round_trip_and_leave_nothing_behind(acae, poses, tmp_path):
    path = tmp_path / "sub" / "acae.npz"
    acae.save(path)
    loaded = Acae.load(path)
    np.testing.assert_array_equal(loaded.encode(poses), acae.encode(poses))
    np.testing.assert_array_equal(loaded.latent_gram_mm2, acae.latent_gram_mm2)
    assert loaded.joint_names == acae.joint_names and loaded.settings == acae.settings
    assert [p.name for p in path.parent.iterdir()] == ["acae.npz"]


def test_a_failed_save_keeps_the_old_file(acae, tmp_path, monkeypatch):
    path = tmp_path / "acae.npz"
    acae.save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError):
        acae.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["acae.npz"]


def test_bad_files_are_named(acae, tmp_path):
    with pytest.raises(UserError, match="no autoencoder file"):
        Acae.load(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(UserError, match="cannot be read"):
        Acae.load(tmp_path / "broken.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match="lacks encoder"):
        Acae.load(tmp_path / "other.npz")
    with pytest.raises(UserError, match="sum to 1"):
        Acae(acae.encoder * 2, acae.decoder, acae.joint_names, acae.latent_names)


def test_another_joint_order_is_refused_or_followed(acae, poses):
    names = acae.joint_names[::-1]
    with pytest.raises(UserError, match="different order.*reordered"):
        acae.require_joints(names)
    with pytest.raises(UserError, match="other joints"):
        acae.require_joints(names[1:])
    other = acae.reordered(names)
    other.require_joints(names)
    np.testing.assert_allclose(other.encode(poses[:, ::-1]), acae.encode(poses), atol=1e-9)


def test_thresholding_keeps_columns_affine(acae):
    cut = acae.thresholded(0.05)
    for before, after in ((acae.encoder, cut.encoder), (acae.decoder, cut.decoder)):
        np.testing.assert_allclose(after.sum(axis=0), 1, atol=1e-12)
        small = np.abs(before) < 0.05
        assert small.any() and (after[small & (np.abs(before) < np.abs(before).max(axis=0))] == 0).all()


def test_conversion_recovers_points_that_the_given_joints_determine(acae):
    latents = np.random.default_rng(5).normal(0, 300, (20, acae.n_latents, 3)) + [0, 0, 4000]
    poses = acae.decode(latents)
    h36m, smpl = get_skeleton("h36m_17").joint_names, get_skeleton("smpl_24").joint_names
    converted = convert_poses(poses[:, :17], acae, from_joints=h36m, to_joints=smpl, noise_mm=1e-3)
    # 17 joints are more than 8 latents; what remains is the assumed joint error of a micrometre.
    np.testing.assert_allclose(converted, poses[:, 17:], atol=0.1)


def test_conversion_commutes_with_affine_maps(acae, poses):
    h36m, smpl = get_skeleton("h36m_17").joint_names, get_skeleton("smpl_24").joint_names
    matrix, shift = np.random.default_rng(2).normal(size=(3, 3)), np.array([10.0, 20, 3000])

    def convert(p):
        return convert_poses(p, acae, from_joints=h36m, to_joints=smpl)

    np.testing.assert_allclose(convert(poses[:, :17] @ matrix.T + shift), convert(poses[:, :17]) @ matrix.T + shift)


def test_conversion_by_command(acae, poses, tmp_path, capsys):
    acae.save(tmp_path / "acae.npz")
    h36m = get_skeleton("h36m_17").joint_names
    np.savez(tmp_path / "in.npz", poses=poses[:, :17].astype(np.float32), joint_names=h36m)
    command = ["convert", "--from", "h36m_17", "--to", "smpl_24", "--acae", str(tmp_path / "acae.npz")]
    assert main([*command, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as out:
        assert out["poses"].shape == (7, 24, 3) and out["poses"].dtype == np.float32
        assert out["joint_names"].tolist() == list(get_skeleton("smpl_24").joint_names)
        expected = convert_poses(
            poses[:, :17], acae, from_joints=h36m, to_joints=conversion.find_joints(acae, "smpl_24")
        )
        np.testing.assert_allclose(out["poses"], expected, atol=1e-3)
    shown = [n.removesuffix("_h36m") for n in h36m]  # as exported models show them
    np.savez(tmp_path / "shown.npz", poses=poses[:, :17], joint_names=shown)
    assert main([*command, str(tmp_path / "shown.npz"), str(tmp_path / "shown_out.npz")]) == 0
    capsys.readouterr()
    for change, message in (
        (dict(names=h36m[::-1]), "in this order"),
        (dict(target="ghum_35"), "lacks 35 joints of ghum_35"),
        (dict(target="dog"), "has no skeleton 'dog'"),
        (dict(poses=poses[:, :16]), "17 joints"),
        (dict(poses=poses[:, :17] * np.nan), "NaN"),
    ):
        arrays = {"poses": change.get("poses", poses[:, :17]), "joint_names": change.get("names", h36m)}
        np.savez(tmp_path / "bad.npz", **arrays)
        command[4] = change.get("target", "smpl_24")
        assert main([*command, str(tmp_path / "bad.npz"), str(tmp_path / "bad_out.npz")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "bad_out.npz").exists()


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_conversion_of_the_demo_s_own_files(acae, poses, tmp_path, suffix, capsys):
    acae.save(tmp_path / "acae.npz")
    names = tuple(n.removesuffix("_h36m") for n in get_skeleton("h36m_17").joint_names)
    source = Source("walk.mp4", (640, 480), np.eye(3), "h36m_17", names, ((0, 1),), tracked=True)
    given = poses[:, :17].astype(np.float32)
    with PoseLog(source) as log:
        for i, pose in enumerate(given):
            one = [np.array([value]) for value in (3, np.ones(4), 0.5, pose, pose[:, :2], pose[:, 0], pose[:, 0])]
            log.add(2 * i, i / 10, People(*one))
        (write_json if suffix == "json" else write_poses_npz)(tmp_path / f"walk.{suffix}", log)
    files = [str(tmp_path / name) for name in ("acae.npz", f"walk.{suffix}", "out.npz")]
    assert main(["convert", "--to", "smpl_24", "--acae", *files]) == 0
    predictions = load_predictions(tmp_path / "out.npz")
    h36m, smpl = (get_skeleton(name).joint_names for name in ("h36m_17", "smpl_24"))
    expected = convert_poses(given, acae, from_joints=h36m, to_joints=smpl)
    np.testing.assert_allclose(predictions.poses3d_mm, expected, atol=0.02)  # JSON rounds to 0.01 mm
    assert predictions.joint_names == smpl and predictions.metadata["skeleton"] == "smpl_24"
    assert predictions.frame.tolist() == list(range(0, 14, 2)) and set(predictions.person) == {3}
    assert set(predictions.sequence) == {"walk.mp4"} and predictions.score.tolist() == [0.5] * 7
    with np.load(tmp_path / "out.npz") as arrays:
        np.testing.assert_allclose(arrays["times_s"], np.arange(7) / 10)

    (tmp_path / "other.json").write_text('{"frames": 3}')
    assert main(["convert", "--to", "smpl_24", "--acae", files[0], str(tmp_path / "other.json"), files[2]]) == 2
    np.savez(tmp_path / "plain.npz", poses=given)
    assert main(["convert", "--to", "smpl_24", "--acae", files[0], str(tmp_path / "plain.npz"), files[2]]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "is not a file of poses as --demo writes them" in errors[0] and "name it with --from" in errors[1]
