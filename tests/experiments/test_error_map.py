import numpy as np
import pytest

from data_processing import cameras
from data_processing.synthetic import scene
from data_processing.synthetic.box import BOX
from experiments import error_map
from metrabs_acae.errors import UserError


def test_errors_are_about_the_middle_of_the_known_joints():
    _, (row, *_) = scene.make_example(BOX["box-wild"], "test", 3, seed=1)
    labelled = BOX["box-wild"].skeleton.joint_names
    names = (labelled[5], "nose_of_somebody", labelled[9])
    true = cameras.to_camera(row.camera, np.asarray(row.coords, np.float64)[[5, 0, 9]])

    class Estimator:
        def estimate_poses(self, image, boxes, num_aug, **camera):
            np.testing.assert_allclose(camera["intrinsic_matrix"][0], row.camera.K, rtol=1e-6)
            np.testing.assert_allclose(boxes[0], row.box_ltwh_px, rtol=1e-6)
            off = np.array([[500.0, 0, 0], [0, 0, 0], [500, 0, 60]])
            return {"poses3d": [true + off], "uncertainty": [np.ones(3)], "entropy": [np.full(3, 0.5)]}

    errors, uncertainty, entropy = error_map.rendered_errors(Estimator(), names, range(3, 4))
    np.testing.assert_allclose(errors, [[30, np.nan, 30]], atol=1e-6)
    assert uncertainty.tolist() == [[1, 1, 1]] and entropy.tolist() == [[0.5, 0.5, 0.5]]


def test_a_model_of_other_joints_is_refused():
    with pytest.raises(UserError, match="none of this model's joints"):
        error_map.rendered_errors(None, ("nose_of_somebody",), range(1))
