"""`python -m data_processing <dataset> ...`: turns a dataset into pose stores."""

from __future__ import annotations

import importlib
import sys

from metrabs_acae.errors import UserError

# Dataset: the module with its `Settings` (flags) and `run(settings)`, and what it is; imported when asked for.
DATASETS = {
    "synthetic": ("data_processing.synthetic.command", "rendered people, many skeletons; needs no download"),
}
USAGE = "Usage: python -m data_processing DATASET [flags]; `list` names the datasets, `DATASET --help` the flags."


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input (one sentence on stderr), 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "list"):
        print(USAGE)
        for name, (_, description) in DATASETS.items():
            print(f"  {name:12} {description}")
        return 0 if arguments else 2
    try:
        _run(arguments[0], arguments[1:])
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the stores that are complete are kept.", file=sys.stderr)
        return 130
    return 0


def _run(name: str, flags: list[str]) -> None:
    if name not in DATASETS:
        raise UserError(f"There is no dataset '{name}'; known ones: {', '.join(DATASETS)}.")
    import tyro

    module = importlib.import_module(DATASETS[name][0])
    settings = tyro.cli(module.Settings, args=flags, prog=f"python -m data_processing {name}")
    module.run(settings)


if __name__ == "__main__":
    sys.exit(main())
