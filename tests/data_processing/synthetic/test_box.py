from pathlib import Path

import numpy as np

import metrabs_acae
from data_processing.synthetic import datasets
from data_processing.synthetic.appearance import OUTFITS
from data_processing.synthetic.box import BOX, BOX_SKELETON
from data_processing.synthetic.conventions import APPROXIMATIONS, all_conventions
from data_processing.synthetic.generate import generate
from data_processing.synthetic.motions import EVERYTHING
from data_processing.synthetic.scene import make_example
from metrabs_acae.data.store import PoseStore


def test_every_joint_of_every_convention_is_labelled_exactly(tmp_path):
    """Unlike the datasets' own: no noise, no missing joint, in training pictures too."""
    [path] = generate(tmp_path, size="tiny", stores=["box-studio"], workers=1, progress=False)
    store = PoseStore(path)
    assert store.skeleton.joint_names == BOX_SKELETON.joint_names
    assert store.skeleton.n_joints == sum(s.n_joints for s in all_conventions().values())
    coords = np.stack([store.row("train", i).coords for i in range(store.splits["train"])])
    assert np.isfinite(coords).all()
    names = list(store.skeleton.joint_names)
    for one, other in (("lsho_ikea", "lsho_coco"), ("rank_smplx", "rank_smpl")):  # the same by definition
        np.testing.assert_allclose(coords[:, names.index(one)], coords[:, names.index(other)], atol=1e-2)


def test_the_embedded_datasets_do_not_change():
    """What makes the box's pictures different is asked for by none of them."""
    assert not set(BOX) & set(datasets.STORES)
    for store in datasets.STORES.values():
        assert store.detail == 1 and OUTFITS[store.outfit].shirtless == 0 and store.rig != "all"
        assert store.motions != EVERYTHING


def test_pictures_are_larger():
    sizes = [max(make_example(BOX["box-studio"], "train", i, 0)[0].shape[:2]) for i in range(6)]
    plain = [max(make_example(datasets.STORES["synthetic-h36m"], "train", i, 0)[0].shape[:2]) for i in range(6)]
    assert np.mean(sizes) / np.mean(plain) > 1.2


def test_the_card_says_how_each_convention_is_defined():
    card = (Path(metrabs_acae.__file__).parent / "pretrained" / "README.md").read_text()
    for suffix, skeleton in all_conventions().items():
        assert (
            f"| {suffix} | {skeleton.n_joints} | {APPROXIMATIONS.get(suffix, 'as the dataset defines them')} |" in card
        )
