"""The command line: `python -m metrabs_acae.main --train` and its other verbs.

Only parses and dispatches; each verb imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys

from metrabs_acae import command_line
from metrabs_acae.backend import import_tensorflow_quietly, set_up_keras
from metrabs_acae.config import Config
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.models.backbones.registry import import_backbone
from metrabs_acae.models.variants import import_variant

OF_TENSORFLOW = ("export", "predict", "demo")
"""What poses whole pictures does it in TensorFlow; checkpoints of a training on JAX fit as well."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; the exit code, see `exit_codes`."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def work() -> None:
        if variant := command_line.named_module(arguments, "--variant"):  # its record is needed to check the flags
            _set_up()
            import_variant(variant)
        config = command_line.parse_arguments(arguments, "python -m metrabs_acae.main")
        run(config, command_line.named_module(arguments, "--backbone"))

    return exit_code(work)


def run(config: Config, backbone_module: str = "") -> None:
    """Calls the module of `metrabs_acae.commands` that does what `config.verbs` asks for.

    `backbone_module` is a MODULE:NAME that the user named, which may be imported.
    """
    if config.verbs.chosen in OF_TENSORFLOW:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    _set_up()
    if backbone_module:
        import_backbone(backbone_module)
    importlib.import_module(f"metrabs_acae.commands.{config.verbs.chosen}").run(config)


def _set_up() -> None:
    import_tensorflow_quietly()
    set_up_keras()


if __name__ == "__main__":
    sys.exit(main())
