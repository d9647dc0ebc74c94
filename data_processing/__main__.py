"""`python -m data_processing <dataset> ...`: turns a dataset into pose stores; other commands help with that."""

from __future__ import annotations

import importlib
import os
import sys

from metrabs_acae.errors import UserError

# Command: the module with its `Settings` (flags) and `run(settings)`, and what it is; imported when asked for.
COMMANDS = {
    "synthetic": ("data_processing.synthetic.command", "rendered people, many skeletons; needs no download"),
    "list": ("data_processing.commands.list", "the datasets, or with --name all that is known of one"),
    "download": ("data_processing.commands.download", "fetches a dataset, or says how to get it"),
    "unpack": ("data_processing.commands.unpack", "unpacks archives safely"),
    "detect": ("data_processing.commands.detect", "detects people in pictures and videos"),
    "segment": ("data_processing.commands.segment", "segments people in pictures"),
    "verify": ("data_processing.commands.verify", "checks pose stores and writes a report"),
    "skeletons": ("data_processing.commands.skeletons", "draws the skeletons"),
}
CONVERT = "data_processing.commands.convert"
USAGE = """Usage: python -m data_processing DATASET --raw DIR --out STORE [flags]
       python -m data_processing COMMAND [flags]
`DATASET --help` and `COMMAND --help` show the flags; `list` names the datasets."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input (one sentence on stderr), 130 interrupted; `verify` gives 1 for a broken store."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        for name, (_, description) in COMMANDS.items():
            print(f"  {name:12} {description}")
        return 0 if arguments else 2
    try:
        return _run(arguments[0], arguments[1:]) or 0
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; what is complete is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (e.g. `| head`): nothing to report, and nothing to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(name: str, flags: list[str]) -> int | None:
    import tyro

    program = f"python -m data_processing {name}"
    if name in COMMANDS:
        module = importlib.import_module(COMMANDS[name][0])
        return module.run(tyro.cli(module.Settings, args=flags, prog=program))
    from data_processing.registry import DATASETS

    if name not in DATASETS:
        raise UserError(f"There is no dataset or command '{name}'; known ones: {', '.join([*COMMANDS, *DATASETS])}.")
    module = importlib.import_module(CONVERT)
    return module.run(tyro.cli(module.Settings, args=flags, prog=program), name)


if __name__ == "__main__":
    sys.exit(main())
