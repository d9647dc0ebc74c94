import pytest

from data_processing.conversion import convert
from data_processing.converter import Options
from data_processing.registry import get_dataset
from metrabs_acae.data.store import PoseStore


@pytest.fixture
def converted(tmp_path):
    """A function (dataset, raw folder, options) -> the store, made in this process."""

    def run(name, raw, *, skip_broken=False, out="store", **options):
        info = get_dataset(name)
        converter = info.load_converter()(info, raw, Options(**options))
        return PoseStore(convert(converter, tmp_path / out, workers=0, progress=False, skip_broken=skip_broken))

    return run
