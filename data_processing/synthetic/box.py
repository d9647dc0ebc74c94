"""The data of the model in the box: people in all kinds of places and poses, labelled in every skeleton.

Unlike the synthetic datasets of `datasets`, which imitate how real datasets differ, these are labelled exactly and in
all conventions at once. People are larger in the picture, and sit and lie on the ground, too.
"""

from __future__ import annotations

from data_processing.synthetic.conventions import all_conventions
from data_processing.synthetic.datasets import StoreSpec
from data_processing.synthetic.motions import EVERYTHING
from metrabs_acae.skeletons import union

BOX_SKELETON = union(all_conventions().values(), "box")


def _store(name: str, share: int, **differences) -> StoreSpec:
    settings = dict(
        rig="all", outfit="any", motions=EVERYTHING, subjects=400, heights_mm=(1200, 2150), people=(1, 2),
        occluders=0.25, truncated=0.12, photo_noise=0.6, detail=1.3,
        imitates="none: every joint of every skeleton, exactly",
    )  # fmt: skip
    return StoreSpec(name, BOX_SKELETON, share=share, **(settings | differences))


BOX: dict[str, StoreSpec] = {
    s.name: s
    for s in (
        _store("box-wild", 5),
        _store("box-bright", 2, outfit="bright", photo_noise=1.0, people=(1, 3)),
        _store("box-outdoor", 3, place="outdoor", rig="handheld", people=(1, 3)),
        _store("box-studio", 2, place="studio", rig="studio4", photo_noise=0.3, people=(1, 1)),
        _store("box-hall", 2, place="hall", rig="studio14"),
    )
}
