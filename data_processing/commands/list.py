"""`python -m data_processing list`: the datasets."""

from __future__ import annotations

from metrabs_acae import tables
from metrabs_acae.settings import settings


@settings
class Settings:
    """Shows every dataset, or all that is known of one."""

    name: str = ""
    """One dataset; empty: a table of all."""


def run(settings: Settings) -> None:
    from data_processing.picture_sets import PICTURE_SETS
    from data_processing.registry import DATASETS, get_dataset, table

    if settings.name:
        print(describe(get_dataset(settings.name)))
        return
    columns = ("name", "title", "year", "role", "kind", "skeleton", "per batch", "converter", "licence")
    print(tables.render([dict(zip(columns, row, strict=True)) for row in table(columns)[1:]]))
    print("\nPictures for augmentation, for `download`:")
    for pictures in PICTURE_SETS.values():
        print(f"  {pictures.name}: {pictures.title} ({pictures.url}). {pictures.use}")
    print("\nKnown faults of the data as published, which a conversion mends (--as-published leaves them):")
    for info in DATASETS.values():
        for fault in info.faults:
            print(f"  {info.name}: {fault}")


def describe(info) -> str:
    """All that the registry holds of one dataset, as lines of text."""
    skeleton = info.get_skeleton()
    lines = [f"{info.title} ({info.year})", ""]
    named = {
        "role": info.role,
        "kind": info.kind,
        "licence": info.licence,
        "citation": info.citation,
        "url": info.url,
        "how to get it": info.steps,
        "download": f"python -m data_processing download {info.name} --out DIR" if info.files else "",
        "raw layout": info.layout.replace("\n", "\n" + " " * 18),
        "skeleton": f"{info.skeleton}, {skeleton.n_joints} joints: {', '.join(skeleton.joint_names)}",
        "splits": info.splits,
        "cameras": info.cameras,
        "units": info.units,
        "boxes": info.boxes,
        "masks": info.masks,
        "frames kept": info.sampling,
        "examples": f"about {info.n_examples:,} by the paper's tools" if info.n_examples else "",
        "per batch": "/".join(str(n) for n in info.batch) + " (paper's full, medium, small mixture)",
        "colour fix": str(dict(info.color_fix)) if info.color_fix else "",
        "disk": info.disk,
        "release lacks": info.lacking,
        "tested on": tested(info) if info.converter else "",
        "known limits": info.limits,
        "known faults": ("\n" + " " * 18).join(str(f) for f in info.faults),
        "conversion": f"python -m data_processing {info.name} --raw DIR --out STORE" if info.converter else "not yet",
    }
    lines += [f"{k + ':':17} {v}" for k, v in named.items() if v]
    return "\n".join(lines)


def tested(info) -> str:
    """What the converter was tested on."""
    fixtures = "made files in the raw layout and formats"
    return f"{info.tested}; the rest: {fixtures}" if info.tested else f"{fixtures} only, no real file"
