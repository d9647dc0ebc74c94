"""Damaged raw files of every dataset: one clear sentence or a counted omission, never an unexpected error."""

import pytest

from data_processing.conversion import convert
from data_processing.converter import Options
from data_processing.registry import get_dataset
from metrabs_acae.errors import UserError

from .damage import damages, roles
from .fixtures import WRITE


@pytest.mark.parametrize("name", WRITE)
def test_damaged_files_end_in_a_sentence(name, tmp_path, body_models):
    WRITE[name](tmp_path / "raw", body_models)
    info = get_dataset(name)
    converter = info.load_converter()(info, tmp_path / "raw", Options(limit=1, body_models=body_models))
    surprises = []
    for i, path in enumerate(roles(tmp_path / "raw")):
        data = path.read_bytes()
        for kind, contents in damages(path).items():
            path.unlink(missing_ok=True)
            if contents is not None:
                path.write_bytes(contents)
            what = f"{path.relative_to(tmp_path)}, {kind}"
            try:
                convert(converter, tmp_path / f"store {i} {kind}", workers=0, progress=False)
            except UserError as error:
                if "details in" in str(error):
                    surprises.append(f"{what}: {error}")
            except Exception as error:
                surprises.append(f"{what}: {error!r}")
        path.write_bytes(data)
    assert not surprises, "\n".join(surprises)
