"""`python -m metrabs_acae.acae`: fit an autoencoder to a file of poses, or convert poses between skeletons."""

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
    """Convert poses of one skeleton to another: an .npz with `poses` [N, J, 3] or a demo's file in, an .npz out."""

    target: str = setting(flag="to")
    """Skeleton of the output, e.g. smpl_24; all: every joint."""
    acae: Path = setting()
    """acae.npz, which must have the joints of both."""
    in_file: Positional[Path] = setting()
    """.npz with `poses` (and, to be checked, `joint_names`), or the .npz or .json of --demo."""
    out_file: Positional[Path] = setting()
    """.npz to write."""
    source: str = setting("", flag="from")
    """Skeleton of the input, e.g. h36m_17; empty: the one that a demo's file names."""

    def run(self) -> None:
        from metrabs_acae.acae.convert import convert_file

        shape = convert_file(self.acae, self.source, self.target, self.in_file, self.out_file)
        print(f"Wrote {self.out_file}: poses {list(shape)} of {self.target}.")


COMMANDS = {"fit": Fit, "convert": Convert}


def main(arguments: list[str] | None = None) -> int:
    """The exit code, see `exit_codes`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"Usage: {PROGRAM} COMMAND ...; COMMAND --help shows the flags")
        for name, command in COMMANDS.items():
            print(f"  {name:8} {command.__doc__}")
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
