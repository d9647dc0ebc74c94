import pytest

from ..body_models import write_npz

N_SMPL, N_SMPLX = 300, 10475


@pytest.fixture(scope="session")
def body_models(tmp_path_factory) -> str:
    """A folder of model files in the official formats, made from the embedded body."""
    folder = tmp_path_factory.mktemp("body_models")
    for gender in ("FEMALE", "MALE", "NEUTRAL"):
        write_npz(folder / f"smpl/SMPL_{gender}.npz", "smpl", N_SMPL)
    write_npz(folder / "smplx/SMPLX_FEMALE.npz", "smplx", N_SMPLX)
    return str(folder)
