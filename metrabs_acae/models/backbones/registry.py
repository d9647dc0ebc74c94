"""The backbones by name. Other packages add theirs with `register_backbone`, or by naming one as MODULE:NAME.

To add a backbone:
1. Write a function from the side of the crops to a Keras network without its classifier, and a `Backbone` that says
   what the network expects.
2. `register_backbone("my-net", record)`, or `--backbone mypackage.nets:RECORD` on the command line. Instead of a
   record, NAME may be a function from the side of the crops to a record or to a Keras model of pictures in [0, 1].
3. `python -m tests.models.conformance my-net` checks it: forgotten normalization, wrong scaling, cells that look
   elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones import keras_applications, lite_backbones
from metrabs_acae.models.backbones.record import Backbone
from metrabs_acae.plugins import import_named

_REGISTERED: dict[str, Backbone | Callable] = {**keras_applications.BACKBONES, **lite_backbones.BACKBONES}


def register_backbone(name: str, backbone: Backbone) -> None:
    """Adds a backbone under a name of its own; UserError if another has that name."""
    if _REGISTERED.get(name, backbone) is not backbone:
        raise UserError(f"There is a backbone {name!r} already: give yours another name.")
    _REGISTERED[name] = backbone


def backbone_names() -> tuple[str, ...]:
    return tuple(_REGISTERED)


def import_backbone(name: str) -> None:
    """Makes MODULE:NAME a backbone by importing the module. Only for names that the user has given on purpose.

    Names in files, such as a run's config.json, must not come here: importing a module runs its code.
    """
    found = import_named(name, "--backbone")
    if not (isinstance(found, Backbone) or callable(found)):
        raise UserError(f"{name!r} is neither a Backbone nor a function that makes one, but {type(found).__name__}.")
    _REGISTERED[name] = found


def find_backbone(name: str) -> Backbone | Callable:
    """The record of a name, or the function behind MODULE:NAME; UserError for unknown names."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    if ":" in name:
        raise UserError(
            f"The backbone {name!r} is code outside this project, which runs only when the command names it: "
            f"give --backbone {name} if you trust that module."
        )
    raise UserError(f"There is no backbone {name!r}: choose one of {', '.join(_REGISTERED)}, or give MODULE:NAME.")
