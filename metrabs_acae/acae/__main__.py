"""`python -m metrabs_acae.acae`: fit an autoencoder to poses, or convert poses between skeletons."""

from __future__ import annotations

import sys
from pathlib import Path

from tyro.conf import Positional

from metrabs_acae.acae.settings import AcaeFit
from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import section, setting, settings

PROGRAM = "python -m metrabs_acae.acae"


@settings
class Fit:
    """Fit an autoencoder to poses [K, J, 3] in mm with joint names, and write a report."""

    poses: Positional[Path] = setting()
    """.npz or .h5 with `poses` and `joint_names`."""
    out: Positional[Path] = setting()
    """acae.npz to write."""
    fit: AcaeFit = section(AcaeFit)
    seed: int = setting(0)
    """Seed of the fit."""

    def run(self) -> None:
        from metrabs_acae.acae.command import train_acae

        train_acae(self.poses, self.out, self.fit, seed=self.seed)


@settings
class Convert:
    """Convert poses of one skeleton to another: files .npz, .npy, .csv or .json, of one's own or of --demo."""

    target: str = setting(flag="to")
    """Skeleton of the output, e.g. smpl_24; all: every joint. The command 'skeletons' lists them."""
    in_file: Positional[Path] = setting()
    """Poses [N, J, 3], 'poses' in an .npz (and, to be checked, 'joint_names'); a row of 3 J columns each in a .csv."""
    out_file: Positional[Path] = setting()
    """.npz, .npy, .csv or .json to write."""
    source: str = setting("", flag="from")
    """Skeleton of the input, e.g. h36m_17; empty: the one that a demo's file names."""
    acae: str = setting("")
    """acae.npz, which must have the joints of both; empty: what the package knows of 23 conventions."""
    noise_mm: float = setting(20.0, above=0)
    """How far the given joints are off, as far as is known; 2 for motion capture."""

    def run(self) -> None:
        from metrabs_acae.acae.convert import convert_file

        paths = (self.in_file, self.out_file)
        shape, notes = convert_file(self.acae or None, self.source, self.target, *paths, noise_mm=self.noise_mm)
        print("\n".join([f"Wrote {self.out_file}: poses {list(shape)} of {self.target}.", *notes]))


@settings
class Skeletons:
    """List the skeletons that convert knows, with their joints in order."""

    acae: str = setting("")
    """acae.npz; empty: what the package knows."""

    def run(self) -> None:
        from metrabs_acae.acae.autoencoder import Acae
        from metrabs_acae.acae.convert import skeleton_joints

        for name, joints in skeleton_joints(Acae.load(self.acae) if self.acae else None).items():
            print(f"{name}: {', '.join(joints)}")


COMMANDS = {"fit": Fit, "convert": Convert, "skeletons": Skeletons}


def main(arguments: list[str] | None = None) -> int:
    """The exit code, see `exit_codes`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"Usage: {PROGRAM} COMMAND ...; COMMAND --help shows the flags")
        for name, command in COMMANDS.items():
            print(f"  {name:9} {command.__doc__}")
        return 0 if arguments else 2
    return exit_code(lambda: _run(*arguments))


def _run(name: str, *flags: str) -> None:
    if name not in COMMANDS:
        raise UserError(f"There is no command '{name}'; known ones: {', '.join(COMMANDS)}.")
    # Beside the fit alone the short names of its settings say enough.
    own_name = {"name": lambda field: field.name} if name == "fit" else {}
    parse(COMMANDS[name], list(flags), f"{PROGRAM} {name}", **own_name).run()


if __name__ == "__main__":
    sys.exit(main())
