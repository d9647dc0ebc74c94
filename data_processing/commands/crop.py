"""`python -m data_processing crop`: reduced crops of people, with the cameras that see them."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Cuts people out of pictures as the converters do: turned to the box, at most 384 px tall, with room to augment.

    Crops that exist and are newer than their picture are left alone.
    """

    people: Path
    """JSON list: [{"image": path, "box": [left, top, width, height], "camera": {"K", "R", "position_mm", "lens",
    "up"}, "mask": path of a .png (optional)}, ...]; other entries are kept."""
    root: Path
    """Folder that the paths are relative to."""
    out: Path
    """Folder for the crops; `crops.json` in it is the list with the crops' paths, boxes, cameras and encoded masks."""
    extra: float = setting(1.0, at_least=0.1, at_most=10)
    """Enlarges the region further, e.g. 1.8 to train on partly visible people."""
    whole_field: bool = False
    """Keep the region even where the picture does not cover it (black there)."""
    plain: bool = False
    """Do not turn the camera: a plain cut-out, as for MuCo-3DHP."""


def run(settings: Settings) -> None:
    from data_processing.plain_files import write_json
    from metrabs_acae.errors import UserError
    from metrabs_acae.files import read_json
    from metrabs_acae.progress import Progress

    people = read_json(settings.people, list)
    if not people:
        raise UserError(f"{settings.people} lists nobody.")
    bar = Progress("crops", len(people))
    entries, skipped = [], 0
    for number, person in enumerate(people):
        note, entry = "", None
        try:
            entry = _crop(person, f"{settings.people}, entry {number}", settings, number)
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            note = f"entry {number} is left out: {error}"
        if entry is None:
            skipped += 1
        else:
            entries.append(entry)
        bar.step(note=note)
    if not entries:
        raise UserError(f"{settings.people}: none of the {len(people)} boxes can be cropped; are they in pixels?")
    write_json(settings.out / "crops.json", entries)
    print(f"{settings.out / 'crops.json'}: {len(entries)} crops, {skipped} left out")


def _crop(person, where: str, settings: Settings, number: int) -> dict:
    """Writes one crop; its entry in crops.json. ValueError (not UserError) where the box cannot be cropped."""
    from data_processing import efficient_crop, images
    from data_processing.plain_files import camera_from_json, camera_to_json, check_box_list, write_whole
    from metrabs_acae.data.images import check_key
    from metrabs_acae.errors import UserError

    if not isinstance(person, dict) or not all(name in person for name in ("image", "box", "camera")):
        raise UserError(f"{where}: expected an object with image, box and camera.")
    key = check_key(str(person["image"]))
    source = settings.root / key
    camera = camera_from_json(person["camera"], where)
    box = check_box_list([person["box"]], where)[0]
    if not source.is_file():
        raise UserError(f"{where}: the picture {source} does not exist.")
    size = images.read_size(source)
    if settings.plain:
        if not camera.lens.is_pinhole:
            raise UserError(f"{where}: --plain is for cameras without lens distortion.")
        plan = efficient_crop.plan_unturned_crop(camera, size, box)
    else:
        plan = efficient_crop.plan_crop(camera, size, box, extra=settings.extra, whole_field=settings.whole_field)
    target_key = f"{Path(key).with_suffix('').as_posix()}_{number:06d}.jpg"
    target = settings.out / target_key
    antialias = 4 if settings.plain else 2
    if not _is_current(target, source, plan.size_wh):
        crop = efficient_crop.render_crop(images.read_image(source), plan, antialias=antialias)
        write_whole(target, images.encode_jpeg(crop))
    entry = {**person, "image": target_key, "box": plan.box_ltwh_px.tolist(), "camera": camera_to_json(plan.camera)}
    if person.get("mask"):
        mask = images.read_mask(settings.root / check_key(str(person["mask"])))
        if mask.shape != size[::-1]:
            raise UserError(f"{where}: the mask is {mask.shape[::-1]} px, its picture {size}.")
        rle = efficient_crop.render_mask(mask, plan)
        entry["mask"] = {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}
    return entry


def _is_current(target: Path, source: Path, size_wh: tuple[int, int]) -> bool:
    from data_processing import images

    try:
        return target.stat().st_mtime > source.stat().st_mtime and tuple(images.read_size(target)) == size_wh
    except (OSError, ValueError):
        return False
