"""`python -m metrabs_acae.acae`: fit an autoencoder to a file of poses, or convert poses between skeletons."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from metrabs_acae.errors import UserError


@dataclass(frozen=True)
class Fit:
    """Fit an autoencoder to poses [K, J, 3] in mm with joint names, and write a report."""

    poses: tyro.conf.Positional[Path]
    """.npz or .h5 with `poses` and `joint_names`."""
    out: tyro.conf.Positional[Path]
    """acae.npz to write."""
    n_latents: int = 48
    """Number of latent points."""
    n_center_latents: int = 8
    """How many of them lie on the body's symmetry plane."""
    weights: Literal["nonnegative", "affine"] = "nonnegative"
    """Convex combinations, or signed weights as in the paper."""
    sparsity: float = 0.6
    """Factor of the L1 regularizer (signed weights only)."""
    loss_space: Literal["image", "3d"] = "image"
    """Compare positions in the image plane, or in space."""
    chiral: bool = True
    """Mirrored poses get mirrored latents, exactly."""
    head_weight: float = 2.0
    """Factor on the errors of head and face joints."""
    threshold: float = 0.0
    """Set smaller weights to zero after the fit."""
    steps: int = 5000
    """Steps of the final run."""
    n_restarts: int = 8
    """Short runs to choose from."""
    batch_size: int = 32
    """Poses per step."""
    seed: int = 0
    """Seed of the fit."""

    def run(self) -> None:
        import dataclasses

        from metrabs_acae.acae.command import train_acae

        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        train_acae(settings.pop("poses"), settings.pop("out"), **settings)


@dataclass(frozen=True)
class Convert:
    """Convert poses of one skeleton to another: an .npz with `poses` [N, J, 3] in, another out."""

    source: Annotated[str, tyro.conf.arg(name="from")]
    """Skeleton of the input, e.g. h36m_17."""
    target: Annotated[str, tyro.conf.arg(name="to")]
    """Skeleton of the output, e.g. smpl_24; all: every joint."""
    acae: Path
    """acae.npz, which must have the joints of both."""
    in_file: tyro.conf.Positional[Path]
    """.npz with `poses` (and, to be checked, `joint_names`)."""
    out_file: tyro.conf.Positional[Path]
    """.npz to write."""

    def run(self) -> None:
        from metrabs_acae.acae.convert import convert_file

        shape = convert_file(self.acae, self.source, self.target, self.in_file, self.out_file)
        print(f"Wrote {self.out_file}: poses {list(shape)} of {self.target}.")


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input (one sentence on stderr)."""
    command = tyro.extras.subcommand_cli_from_dict(
        {"fit": Fit, "convert": Convert}, args=arguments, description=__doc__
    )
    try:
        command.run()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
