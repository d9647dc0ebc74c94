"""`python -m data_processing encode-masks`: mask pictures as run lengths."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Run-length encodes mask pictures, in the compressed form of COCO, which pose stores hold too."""

    masks: Path
    """Folder of mask pictures (.png), e.g. those that `segment` writes."""
    out: Path
    """JSON to write: {path of the picture below the folder: [{"size": [height, width], "counts": text}, ...]}."""
    boxes: Path | None = None
    """JSON {picture: [[left, top, width, height], ...]}: one mask per box, the connected part that fits it best."""
    threshold: int = setting(127, at_least=0, at_most=254)
    """People are where the picture's first channel is above this."""


def run(settings: Settings) -> None:
    from data_processing import images, masks
    from data_processing.plain_files import check_box_list, check_suffix, write_json
    from metrabs_acae.errors import UserError
    from metrabs_acae.files import read_json
    from metrabs_acae.progress import Progress

    check_suffix(settings.out, (".json",))
    paths = {p.relative_to(settings.masks).as_posix(): p for p in sorted(settings.masks.rglob("*.png"))}
    if not paths:
        raise UserError(f"There is no mask picture (.png) in {settings.masks}.")
    people = None if settings.boxes is None else read_json(settings.boxes, dict)
    unknown = sorted(set(people or ()) - set(paths))
    if unknown:
        raise UserError(f"{settings.boxes} names '{unknown[0]}', which is not in {settings.masks}.")
    encoded = {}
    bar = Progress("masks", len(paths) if people is None else len(people))
    for key in paths if people is None else people:
        mask = images.read_mask(paths[key], settings.threshold)
        parts = [mask]
        if people is not None:
            listed = check_box_list(people[key], f"{settings.boxes}, '{key}'")
            parts = [masks.component_of_box(mask, box) for box in listed]
        encoded[key] = [_to_json(masks.encode(part)) for part in parts]
        bar.step()
    write_json(settings.out, encoded)
    print(f"{settings.out}: {sum(map(len, encoded.values()))} masks of {len(encoded)} pictures")


def _to_json(rle: dict) -> dict:
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}
