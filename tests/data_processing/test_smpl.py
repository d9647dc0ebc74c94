"""Body models of the SMPL family: files in the true formats, skinning against a slow independent implementation."""

import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_processing import smpl
from data_processing.smpl.model import rotation_matrices, rotation_vector
from metrabs_acae import safe_pickle
from metrabs_acae.errors import UserError

from .body_models import SMPL_NAMES, arrays, foreign, write_npz, write_pkl


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Kind -> the model, read from an .npz file."""
    folder = tmp_path_factory.mktemp("body_models")
    made = {}
    for kind in ("smpl", "smplh", "smplx"):
        write_npz(folder / f"{kind}.npz", kind, 300)
        made[kind] = smpl.load_model(folder / f"{kind}.npz")
    return made


def random_input(model, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.4, size=(n, 3 * model.n_joints)), rng.normal(size=(n, 10)), rng.normal(size=(n, 3))


def slow(held, pose, betas, translation, vertex_ids):
    """Joints and some vertices in mm by 4 x 4 matrices, one bone and one vertex at a time."""
    shaped = held["v_template"].astype(float)
    for i, b in enumerate(betas):
        shaped = shaped + b * held["shapedirs"][:, :, i]
    joints = held["J_regressor"] @ shaped
    parents = held["kintree_table"][0]
    R = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
    world, rest = [], []
    for j in range(len(parents)):
        local = np.eye(4)
        local[:3, :3] = R[j]
        local[:3, 3] = joints[j] if j == 0 else joints[j] - joints[int(parents[j])]
        world.append(local if j == 0 else world[int(parents[j])] @ local)
        start = np.eye(4)
        start[:3, 3] = -joints[j]
        rest.append(world[j] @ start)
    bend = np.concatenate([(r - np.eye(3)).ravel() for r in R[1:]])
    vertices = []
    for v in vertex_ids:
        point = np.append(shaped[v] + held["posedirs"][v].astype(float) @ bend, 1.0)
        vertices.append(sum(w * (m @ point)[:3] for w, m in zip(held["weights"][v], rest, strict=True)))
    return (np.array([w[:3, 3] for w in world]) + translation) * 1000, (np.array(vertices) + translation) * 1000


@pytest.mark.parametrize("kind", ["smpl", "smplh", "smplx"])
def test_skinning_agrees_with_a_slow_independent_implementation(models, kind):
    model, ids = models[kind], [0, 17, 123, 299]
    pose, betas, translation = random_input(model)
    for i in range(3):
        joints, vertices = slow(arrays(kind, 300), pose[i], betas[i], translation[i], ids)
        np.testing.assert_allclose(model.joints(pose, betas, translation)[i], joints, atol=0.01)
        np.testing.assert_allclose(model.vertices(pose, betas, translation)[i][ids], vertices, atol=0.01)
        np.testing.assert_allclose(model.vertices(pose, betas, translation, indices=ids)[i], vertices, atol=0.01)


def test_in_the_rest_pose_the_body_is_that_of_the_file(models):
    model = models["smpl"]
    np.testing.assert_allclose(
        model.vertices(np.zeros((1, 72)))[0], arrays("smpl", 300)["v_template"] * 1000, atol=1e-3
    )
    joints = model.joints(np.zeros(3))[0]  # joints that are not given are not rotated
    y = dict(zip(SMPL_NAMES, joints[:, 1], strict=True))
    assert y["head"] > y["neck"] > y["thor"] > y["pelv"] > y["lkne"] > y["lank"]
    assert joints[SMPL_NAMES.index("lhip"), 0] > 0 > joints[SMPL_NAMES.index("rhip"), 0]


def test_a_rotation_of_the_root_turns_the_whole_body_about_the_pelvis(models):
    model = models["smplx"]
    pose, betas, _ = random_input(model)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7])
    turned = pose.copy()
    turned[:, :3] = (turn * Rotation.from_rotvec(pose[:, :3])).as_rotvec()
    for take in (model.joints, model.vertices):
        pelvis = model.joints(pose, betas)[:, :1]
        expected = np.einsum("ab,nvb->nva", turn.as_matrix(), take(pose, betas) - pelvis) + pelvis
        np.testing.assert_allclose(take(turned, betas), expected, atol=0.01)


def test_regressors_take_points_from_the_posed_skin(models):
    model = models["smpl"]
    pose, betas, translation = random_input(model)
    regressor = np.random.default_rng(1).uniform(size=(4, model.n_vertices)) * (np.arange(model.n_vertices) % 5 == 0)
    regressor /= regressor.sum(axis=1, keepdims=True)
    expected = np.einsum("kv,nvd->nkd", regressor, model.vertices(pose, betas, translation))
    np.testing.assert_allclose(model.regress(regressor, pose, betas, translation), expected, atol=0.02)
    # Rows of weights that are a difference give a direction of the body, which has a place all the same.
    moved = model.regress(regressor, pose, betas, translation + 1) - model.regress(regressor, pose, betas, translation)
    np.testing.assert_allclose(moved, 1000, atol=0.01)
    with pytest.raises(UserError, match=r"shape \[K, 300\]"):
        model.regress(regressor[:, :-1], pose)


def test_expressions_follow_the_coefficients_of_shape(models):
    model = models["smplx"]
    assert model.expression_start == 10
    moved = model.vertices(np.zeros(3), expression=[0, 2.0]) - model.vertices(np.zeros(3))
    np.testing.assert_allclose(moved[0], 2000 * arrays("smplx", 300)["shapedirs"][:, :, 11], atol=0.01)


def test_hand_poses_come_from_principal_components(models):
    held, model = arrays("smplx", 300), models["smplx"]
    coefficients = np.arange(6.0).reshape(1, 6) / 10
    hands = model.hand_pose(coefficients, np.zeros((1, 45)))
    left = sum(c * held["hands_componentsl"][i] for i, c in enumerate(coefficients[0])) + held["hands_meanl"]
    np.testing.assert_allclose(hands[0], [*left, *held["hands_meanr"]])
    np.testing.assert_allclose(model.hand_pose([[0] * 6], [[0] * 6], flat=True), 0)


def test_memory_does_not_grow_with_the_number_of_poses(models):
    model = models["smpl"]
    regressor = np.eye(3, model.n_vertices)

    def peak(n):
        tracemalloc.start()
        model.regress(regressor + 0.001, np.zeros((n, 3)))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    # Rotations and coefficients alone; the skin with its moves takes 4 * (3 + 12) bytes a vertex.
    assert (peak(256) - peak(128)) / 128 < 4 * 15 * model.n_vertices * 2 / 3


@pytest.mark.parametrize("kind", ["smpl", "smplh"])
def test_a_pickle_of_chumpy_holds_the_same_model(tmp_path, models, kind):
    write_pkl(tmp_path / "model.pkl", kind, 300)
    read = smpl.load_model(tmp_path / "model.pkl")
    pose, betas, translation = random_input(read)
    np.testing.assert_allclose(
        read.vertices(pose, betas, translation), models[kind].vertices(pose, betas, translation), atol=1e-3
    )
    assert read.kind == kind and len(read.faces) == 50


def test_objects_of_other_libraries_are_only_stood_in_for(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\nI5\nsb.")
    made = safe_pickle.load_pickle(path, stand_ins=("chumpy",))
    assert isinstance(made, safe_pickle.StandIn) and (made.kind, made.state) == ("chumpy.ch.Ch", {"x": 5})
    for hostile in (
        b"ccopy_reg\n_reconstructor\n(c__builtin__\ndict\nc__builtin__\nobject\nNtR.",
        b"cchumpyx.ch\nCh\n.",
        b"c__builtin__\nobject\n(tR(dS'x'\nI5\nsb.",
    ):
        path.write_bytes(hostile)
        with pytest.raises(UserError):
            safe_pickle.load_pickle(path, stand_ins=("chumpy",))


def test_damaged_and_hostile_model_files_are_refused(tmp_path):
    held = dict(arrays("smpl", 300))
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(held | {"weights": held["weights"][:, :-1]}))
    with pytest.raises(UserError, match="not a body model.*cannot reshape"):
        smpl.load_model(path)
    path.write_bytes(pickle.dumps({"v_template": held["v_template"]}))
    with pytest.raises(UserError, match="should hold v_template, shapedirs"):
        smpl.load_model(path)
    np.savez(tmp_path / "model.npz", v_template=held["v_template"])
    with pytest.raises(UserError, match="lacks the array shapedirs"):
        smpl.load_model(tmp_path / "model.npz")
    path.write_bytes(b"cchumpy.ch\nCh\n(S'x'\nios\nsystem\n(S'true'\ntR.")
    with pytest.raises(UserError, match="os.system|not a readable pickle"):
        smpl.load_model(path)
    sparse = {"_shape": (24, 10**9), "data": np.ones(1), "indices": np.zeros(1, int), "indptr": np.zeros(2, int)}
    from .body_models import ForeignPickler

    with open(path, "wb") as file:
        ForeignPickler(file, 2).dump(held | {"J_regressor": foreign("scipy.sparse.csc", "csc_matrix", sparse)})
    with pytest.raises(UserError, match="unusual size"):
        smpl.load_model(path)


def test_a_missing_model_is_asked_for(tmp_path):
    with pytest.raises(UserError) as raised:
        smpl.find_model(tmp_path, "smpl", "f")
    text = str(raised.value)
    assert "SMPL (female) is missing" in text and "https://smpl.is.tue.mpg.de" in text
    assert f"{tmp_path}/smpl" in text and "SMPL_FEMALE.pkl" in text and "--body-models" in text
    with pytest.raises(UserError, match="no body model 'star'"):
        smpl.find_model(tmp_path, "star", "f")


def test_models_are_found_under_their_official_names(tmp_path):
    for name, kind, gender in [
        ("smpl/basicModel_f_lbs_10_207_0_v1.0.0.pkl", "smpl", "female"),
        ("smpl/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", "smpl", "n"),
        ("smplh/male/model.npz", "smplh", "male"),
        ("SMPLX_NEUTRAL.npz", "smplx", "neutral"),
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
        assert smpl.find_model(tmp_path, kind, gender) == tmp_path / name


def test_poses_that_do_not_fit_are_refused(models):
    model = models["smpl"]
    with pytest.raises(UserError, match="pose of 75 numbers"):
        model.joints(np.zeros(75))
    with pytest.raises(UserError, match="11 shape coefficients"):
        model.joints(np.zeros(72), np.zeros(11))
    with pytest.raises(UserError, match="10 shape coefficients of 2 poses do not fit 3"):
        model.joints(np.zeros((3, 72)), np.zeros((2, 10)))


def test_rotation_vectors_and_matrices_agree_with_scipy():
    vectors = np.concatenate([np.random.default_rng(0).normal(size=(20, 3)), [[0, 0, 0], [1e-9, 0, 0]]])
    np.testing.assert_allclose(rotation_matrices(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(
        rotation_matrices(rotation_vector(rotation_matrices(vectors))), rotation_matrices(vectors), atol=1e-9
    )
