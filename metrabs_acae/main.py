"""The command line: `python -m metrabs_acae.main --train` and its other verbs.

Only parses and dispatches; each verb imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys

from metrabs_acae import command_line
from metrabs_acae.config import Config
from metrabs_acae.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb. Exit code: 0 done, 2 bad input (one sentence on stderr), 130 interrupted."""
    try:
        config = command_line.parse_arguments(
            sys.argv[1:] if arguments is None else arguments, "python -m metrabs_acae.main"
        )
        run(command_line.with_paper_stores(config))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (e.g. `| head`): nothing to report, and nothing to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def run(config: Config) -> None:
    """Calls the module of `metrabs_acae.commands` that does what `config.verbs` asks for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if config.verbs.export:  # a SavedModel is TensorFlow's; checkpoints of a training on JAX fit as well
        os.environ["KERAS_BACKEND"] = "tensorflow"
    _import_tensorflow_quietly()
    importlib.import_module(f"metrabs_acae.commands.{config.verbs.chosen}").run(config)


def _import_tensorflow_quietly() -> None:
    """TensorFlow's native code writes notes about the machine to stderr as it loads, before any log level counts."""
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        importlib.import_module("tensorflow")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


if __name__ == "__main__":
    sys.exit(main())
