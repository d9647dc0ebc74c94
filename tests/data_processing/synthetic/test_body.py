"""The body model: posing, units, symmetry."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_processing.synthetic import body, joints

REST = np.tile(np.eye(3, dtype=np.float32), (len(body.PARTS), 1, 1))


@pytest.fixture(scope="module")
def model():
    return body.load_body()


@pytest.fixture(scope="module")
def mean_person(model):
    return model.shaped(np.zeros(24))


def random_pose(seed=0):
    return Rotation.random(len(body.PARTS), random_state=seed).as_matrix().astype(np.float32)


def test_rotation_formula_agrees_with_scipy():
    vectors = np.random.default_rng(0).normal(0, 1.5, (50, 3))
    vectors[0] = 0
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(body.matrix_from_rotvec(vectors), expected, atol=1e-6)  # float32 result


def test_the_rest_pose_is_the_shaped_body(model, mean_person):
    vertices, heads = model.posed(*mean_person, REST)
    np.testing.assert_allclose(vertices, mean_person[0], atol=1e-3)
    np.testing.assert_allclose(heads, mean_person[1], atol=1e-3)


def test_turning_every_part_alike_is_a_rigid_motion_about_the_root(model, mean_person):
    R = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix().astype(np.float32)
    vertices, heads = model.posed(*mean_person, np.tile(R, (len(body.PARTS), 1, 1)))
    root = mean_person[1][0]
    np.testing.assert_allclose(vertices, (mean_person[0] - root) @ R.T + root, atol=0.02)  # mm, float32 chains
    np.testing.assert_allclose(heads, (mean_person[1] - root) @ R.T + root, atol=0.02)


def test_bones_keep_their_length_in_every_pose(model, mean_person):
    _, heads = model.posed(*mean_person, random_pose())
    child, parent = np.arange(1, len(model.parents)), model.parents[1:]
    expected = np.linalg.norm(mean_person[1][child] - mean_person[1][parent], axis=1)
    np.testing.assert_allclose(np.linalg.norm(heads[child] - heads[parent], axis=1), expected, atol=0.01)


def test_the_skin_stays_near_its_bones(model, mean_person):
    vertices, heads = model.posed(*mean_person, random_pose(1))
    at_rest = np.linalg.norm(mean_person[0] - mean_person[1][model.dominant_bone], axis=1)
    posed = np.linalg.norm(vertices - heads[model.dominant_bone], axis=1)
    # Blending cannot push a vertex far out; 120 mm is what the hips' wide blends give in impossible poses.
    assert (posed - at_rest).max() < 120


def test_blended_spine_bones_lie_between_root_and_chest(model):
    pose = REST.copy()
    pose[body.PARTS.index("chest")] = body.matrix_from_rotvec(np.array([1.0, 0, 0]))
    rotations = model.bone_rotations(pose)
    angles = [Rotation.from_matrix(rotations[model.names.index(f"spine0{i}")]).magnitude() for i in (5, 4, 3, 2, 1)]
    np.testing.assert_allclose(angles, [0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-5)


def test_statures_are_human_and_in_millimetres(model):
    adults = model.heights_mm[(model.heights_mm > 1450) & (model.heights_mm < 2050)]
    assert len(adults) > 300
    vertices, _ = model.shaped(model.samples[3])
    assert np.ptp(vertices[:, 2]) == pytest.approx(model.heights_mm[3], rel=1e-4)


def test_normals_are_unit_and_point_outwards(model, mean_person):
    normals = body.vertex_normals(mean_person[0], model.faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    top = mean_person[0][:, 2].argmax()
    assert normals[top, 2] > 0.8


def test_left_is_left(model, mean_person):
    regressor = joints.all_joints()
    points = regressor(*mean_person)
    names = regressor.skeleton.joint_names
    left = np.array([n.startswith("l") for n in names])
    right = np.array([n.startswith("r") for n in names])
    assert left.sum() == right.sum()
    assert (points[left, 0] > 0).all() and (points[right, 0] < 0).all()  # +x is the body's left
    face, back = (points[names.index(n)] for n in ("nose_coco", "backneck_bmlmovi"))
    assert face[1] < back[1]  # -y is forward
