"""`python -m data_processing match`: which detection belongs to which labelled person."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Gives every labelled person its detection, one to one, with the largest sum of IoU."""

    labels: Path
    """JSON: {picture: [[left, top, width, height], ...]} of the labelled people."""
    detections: Path
    """JSON: {picture: [[left, top, width, height, score], ...]}, as `detect` writes it."""
    out: Path
    """JSON to write: {picture: [{"detection": index, "iou": ..., "box": [...]} or null, ...]}, one entry per label."""
    min_iou: float = setting(0.1, at_least=0, at_most=1)
    """Pairs that overlap no more than this are no match."""
    max_area_ratio: float = setting(float("inf"), above=0)
    """Nor are detections of this many times the label's area or more."""


def run(settings: Settings) -> None:
    from data_processing import boxes
    from data_processing.plain_files import check_box_list, check_suffix, write_json
    from metrabs_acae.errors import UserError
    from metrabs_acae.files import read_json

    check_suffix(settings.out, (".json",))
    labels, detections = read_json(settings.labels, dict), read_json(settings.detections, dict)
    result, n_matched, n_people = {}, 0, 0
    for key, listed in labels.items():
        people = check_box_list(listed, f"{settings.labels}, '{key}'")
        found = check_box_list(detections.get(key, []), f"{settings.detections}, '{key}'", (4, 5))
        matched = boxes.match(people, found, min_iou=settings.min_iou, max_area_ratio=settings.max_area_ratio)
        result[key] = [
            None if j is None else {"detection": j, "iou": boxes.iou(label, found[j][:4]), "box": found[j].tolist()}
            for label, j in zip(people, matched, strict=True)
        ]
        n_people += len(people)
        n_matched += sum(j is not None for j in matched)
    if labels and not set(labels) & set(detections):
        raise UserError(
            f"{settings.labels} and {settings.detections} have no picture in common, e.g. '{next(iter(labels))}'."
        )
    write_json(settings.out, result)
    print(f"{settings.out}: {n_matched} of {n_people} people matched in {len(labels)} pictures")
