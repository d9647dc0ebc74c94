"""`python -m data_processing <dataset> ...`: turns a dataset into pose stores; other commands help with that."""

from __future__ import annotations

import importlib
import sys

from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse

# Command: the module with its `Settings` (flags) and `run(settings)`, and what it is; imported when asked for.
COMMANDS = {
    "synthetic": ("data_processing.synthetic.command", "rendered people, many skeletons; needs no download"),
    "from-csv": ("data_processing.commands.from_csv", "your own table of keypoints and pictures"),
    "from-coco": ("data_processing.commands.from_coco", "your own annotations in COCO's keypoint format"),
    "list": ("data_processing.commands.list", "the datasets, or with --name all that is known of one"),
    "download": ("data_processing.commands.download", "fetches a dataset, or says how to get it"),
    "unpack": ("data_processing.commands.unpack", "unpacks archives safely"),
    "detect": ("data_processing.commands.detect", "detects people in pictures and videos"),
    "backgrounds": ("data_processing.commands.backgrounds", "photographs without people, as backgrounds of training"),
    "segment": ("data_processing.commands.segment", "segments people in pictures"),
    "sample": ("data_processing.commands.sample", "which frames of a recording to keep"),
    "match": ("data_processing.commands.match", "which detection belongs to which labelled person"),
    "crop": ("data_processing.commands.crop", "cuts people out of pictures, with their cameras"),
    "encode-masks": ("data_processing.commands.encode_masks", "mask pictures as run lengths"),
    "calibrate": ("data_processing.commands.calibrate", "a camera from points in space and their pixels"),
    "verify": ("data_processing.commands.verify", "checks pose stores and writes a report"),
    "movi-predict": ("data_processing.commands.movi_predict", "runs a pose estimator over BML-MoVi's phone videos"),
    "movi-phones": ("data_processing.commands.movi_phones", "calibrates the phone cameras of BML-MoVi"),
    "muco-compose": ("data_processing.commands.muco_compose", "MuCo-3DHP's composites from MPI-INF-3DHP's videos"),
    "bone-lengths": ("data_processing.commands.bone_lengths", "mean bone lengths, to judge estimated poses by"),
    "skeletons": ("data_processing.commands.skeletons", "draws the skeletons"),
}
CONVERT = "data_processing.commands.convert"
USAGE = """Usage: python -m data_processing DATASET --raw DIR --out STORE [flags]     (or MODULE:NAME for DATASET)
       python -m data_processing COMMAND [flags]
`DATASET --help` and `COMMAND --help` show the flags; `list` names the datasets."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code, see `metrabs_acae.exit_codes`; `verify` gives 1 for a broken store."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        for name, (_, description) in COMMANDS.items():
            print(f"  {name:12} {description}")
        return 0 if arguments else 2
    return exit_code(lambda: _run(arguments[0], arguments[1:]), interrupted="Interrupted; what is complete is kept.")


def _run(name: str, flags: list[str]) -> int | None:
    program = f"python -m data_processing {name}"
    if name in COMMANDS:
        module = importlib.import_module(COMMANDS[name][0])
        return module.run(parse(module.Settings, flags, program))
    from data_processing.registry import DATASETS, dataset_from_command

    if name not in DATASETS and ":" not in name:
        known = ", ".join([*COMMANDS, *DATASETS])
        raise UserError(f"There is no dataset or command '{name}'; known ones: {known}. Your own: MODULE:NAME.")
    info = dataset_from_command(name)
    module = importlib.import_module(CONVERT)
    return module.run(parse(module.Settings, flags, program), info)


if __name__ == "__main__":
    sys.exit(main())
