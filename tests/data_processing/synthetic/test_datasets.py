"""The table of datasets: what the training program and the evaluation rely on."""

import subprocess
import sys

import numpy as np
import pytest

from data_processing.synthetic import body, datasets, joints
from data_processing.synthetic.conventions import skeletons
from metrabs_acae import command_line
from metrabs_acae.skeletons import COMMON_2D_JOINTS, prefix_groups, union


def test_there_are_enough_datasets_skeletons_and_joints():
    stores = [datasets.STORES[name] for name, _ in datasets.TRAIN_3D]
    assert len(stores) >= 8
    assert len({s.skeleton.joint_names for s in stores}) >= 8
    assert union(s.skeleton for s in stores).n_joints >= 200
    assert len(datasets.TRAIN_2D) == 2


def test_benchmarks_have_the_imitated_numbers_of_joints_and_are_trained():
    trained = set(union(datasets.STORES[n].skeleton for n, _ in datasets.TRAIN_3D).joint_names)
    assert [len(b.joint_names) for b in datasets.BENCHMARKS] == [17, 17, 17, 24]
    for benchmark in datasets.BENCHMARKS:
        assert trained.issuperset(benchmark.joint_names)
        assert benchmark.root in benchmark.joint_names
        assert benchmark.joint_names == datasets.STORES[benchmark.store].skeleton.joint_names


@pytest.mark.parametrize("preset", ["default", "one-hour"])
def test_mixtures_have_all_stores_and_fill_the_presets_batches(preset):
    data = command_line.preset(preset).data
    mixture = datasets.MIXTURES_3D[data.synthetic_mixture]
    assert [name for name, _ in mixture] == [name for name, _ in datasets.TRAIN_3D]
    assert sum(count for _, count in mixture) == data.batch_size
    assert min(count for _, count in mixture) > 0


def test_the_consistency_store_has_every_trained_joint():
    trained = union(datasets.STORES[n].skeleton for n, _ in datasets.TRAIN_3D)
    assert set(trained.joint_names) == set(datasets.STORES[datasets.CONSISTENCY_STORE].skeleton.joint_names)


def test_2d_joints_match_3d_joints_by_prefix():
    trained = union(datasets.STORES[n].skeleton for n, _ in datasets.TRAIN_3D).joint_names
    for name, _ in datasets.TRAIN_2D:
        assert all("_" not in joint for joint in datasets.STORES[name].skeleton.joint_names)
    assert all(len(group) for group in prefix_groups(COMMON_2D_JOINTS, trained))


def test_mirror_maps_pair_every_sided_joint():
    for spec in datasets.STORES.values():
        sided = [i for i, n in enumerate(spec.skeleton.joint_names) if n[0] in "lr"]
        assert all(spec.skeleton.mirror[i] != i for i in sided), spec.name


def test_conventions_truly_disagree():
    model, regressor = body.load_body(), joints.all_joints()
    points = regressor(*model.shaped(np.zeros(24)))

    def at(name):
        return points[regressor.skeleton.indices([name])[0]]

    # Measured when the regressors were made: the left hip lies 32 mm (COCO) and 23 mm (H36M) from SMPL's.
    assert 25 < np.linalg.norm(at("lhip_coco") - at("lhip_smpl")) < 40
    assert 17 < np.linalg.norm(at("lhip_h36m") - at("lhip_smpl")) < 30
    assert np.linalg.norm(at("neck_mupots") - at("neck_panoptic")) > 40


def test_every_convention_of_the_paper_keeps_its_joint_list():
    from metrabs_acae.skeletons import dataset_skeletons

    for suffix, skeleton in skeletons().items():
        if suffix in dataset_skeletons():
            assert skeleton.joint_names == dataset_skeletons()[suffix].joint_names


def test_the_table_is_light_to_import():
    code = "import sys, data_processing.synthetic.datasets; sys.exit('numba' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
