"""Is what a pose store says about people possible? Cheap checks of a sample of its rows.

They run when a store is closed and when a training starts, and are the first half of `python -m data_processing
verify`. An error is what cannot be meant (metres for millimetres, mirrored labels, a camera turned the wrong way); a
warning asks for a look.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metrabs_acae.data.lens import distort_points
from metrabs_acae.data.records import Example
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.body_size import likely_unit
from metrabs_acae.joint_names import code, side
from metrabs_acae.skeletons import MIN_JOINTS_OF_CONVENTION, Skeleton, conventions

ROWS = 400
"""Rows per split that are looked at: enough for shares of a few percent, a fraction of a second."""
MAX_BAD_FRACTION = 0.01
NEARLY_ALL = 0.9
MIN_PEOPLE = 10
"""Fewer people say nothing certain about sides."""
FULL_MASK = 0.99
LEAST_BOX_PX = 2.0


@dataclass
class Findings:
    """What the checks found: `errors` make a store unusable, `warnings` ask for a look, `facts` are for the report."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


def check_store(store, *, rows: int = ROWS) -> Findings:
    """Checks the names of a `PoseStore` and, of each split, evenly spread rows (0: all)."""
    findings = Findings()
    check_skeleton(findings, store.skeleton)
    for split, count in store.splits.items():
        if count:
            chosen = np.unique(np.linspace(0, count - 1, min(count, rows or count)).astype(int))
            check_rows(findings, split, [store.row(split, int(i)) for i in chosen], store.skeleton, store.kind)
    return findings


def refuse(findings: Findings, what: str, *, hint: str) -> None:
    """UserError with the errors, if there are any."""
    if findings.errors:
        raise UserError(f"{what} cannot be right: {'; '.join(findings.errors)}. {hint}")


def sides_in_words(skeleton: Skeleton) -> str:
    """Which joints change places in a mirrored picture, for the user to see."""
    names, mirror = skeleton.joint_names, skeleton.mirror
    pairs = [f"{names[i]} - {names[j]}" for i, j in enumerate(mirror) if i < j]
    middle = [names[i] for i, j in enumerate(mirror) if i == j]
    return f"{len(pairs)} left-right pairs ({_shown(pairs)}), {len(middle)} joints in the middle ({_shown(middle)})"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "none"


def check_skeleton(findings: Findings, skeleton: Skeleton) -> None:
    """Sides without partners, and endings that are hardly conventions."""
    if alone := skeleton.without_partner:
        shown = ", ".join(alone[:5]) + (" ..." if len(alone) > 5 else "")
        findings.errors.append(
            f"joints {shown} read as left or right, but have no partner; rename them, or give the skeleton "
            'mirror_pairs, with ("x", "x") for a joint x in the middle'
        )
    found = conventions(skeleton.joint_names)
    odd = [ending for ending, joints in found.items() if ending and len(joints) < MIN_JOINTS_OF_CONVENTION]
    if odd and len(found) > 1:
        findings.warnings.append(f"the endings {', '.join(odd)} of few joints are not conventions of their own")


def check_rows(findings: Findings, split: str, rows: list[Example], skeleton: Skeleton, kind: str) -> None:
    """All checks of some rows of one split."""
    coords = np.stack([r.coords for r in rows]).astype(np.float64)
    _check_points(findings, split, coords, skeleton)
    pixels = np.stack([project(r.camera, r.coords) for r in rows]) if kind == "3d" else coords
    if kind == "3d":
        size_is_right = _check_size(findings, split, coords, skeleton)
        if size_is_right:
            _check_cameras(findings, split, rows)
            _check_sides(findings, split, coords, skeleton)
    else:
        size_is_right = True
    if size_is_right:
        _check_pixels(findings, split, pixels, rows, kind)
    _check_masks(findings, split, rows)


def project(camera, world_mm: np.ndarray) -> np.ndarray:
    """[J, 3] world mm -> [J, 2] px of the stored picture; NaN behind the camera and for missing joints."""
    in_camera = (np.asarray(world_mm, np.float64) - camera.optical_center_mm) @ np.asarray(camera.R).T
    depth = in_camera[:, 2:]
    seen = (np.isfinite(depth) & (depth > 1))[:, 0]
    pixels = np.full((len(in_camera), 2), np.nan)
    pixels[seen] = distort_points(in_camera[seen, :2] / depth[seen], np.asarray(camera.K, np.float64), camera.lens)
    return pixels


def _check_points(findings: Findings, split: str, coords: np.ndarray, skeleton: Skeleton) -> None:
    """Joints at the origin, people in a point."""
    labelled = np.isfinite(coords).all(-1)
    at_origin = labelled & (coords == 0).all(-1)
    shares = at_origin.mean(0)
    joint = skeleton.joint_names[int(shares.argmax())]
    if shares.max() > NEARLY_ALL and (shares > 0).sum() == 1 and side(joint) == "c":  # poses relative to a root joint
        findings.warnings.append(f"{split}: {joint} is always at exactly zero")
    elif shares.max() > 0.05 or at_origin.sum() > MAX_BAD_FRACTION * labelled.sum():
        findings.errors.append(
            f"{split}: {at_origin.sum() / labelled.sum():.0%} of the labelled joints are at exactly zero ({joint} most "
            "often); a joint without a label is NaN"
        )
    with np.errstate(invalid="ignore"):
        spread = np.nanmax(coords, 1) - np.nanmin(coords, 1)
    collapsed = (np.nan_to_num(spread, nan=1.0).max(-1) == 0) & (labelled.sum(1) > 1)
    if collapsed.mean() > MAX_BAD_FRACTION:
        findings.errors.append(f"{split}: in {collapsed.mean():.0%} of the examples all joints are at the same point")


def _check_size(findings: Findings, split: str, coords: np.ndarray, skeleton: Skeleton) -> bool:
    """Whether people have a possible size."""
    extent = float(np.median(np.linalg.norm(np.nanmax(coords, 1) - np.nanmin(coords, 1), axis=-1)))
    findings.facts[f"{split}: extent of a person"] = f"median {extent:.0f} mm"
    unit = likely_unit(coords, skeleton.joint_names)
    if unit == "millimetres":
        return True
    findings.errors.append(f"{split}: people have a median extent of {extent:.3g} mm: they look like {unit}")
    return False


def _check_cameras(findings: Findings, split: str, rows: list[Example]) -> None:
    field_of_view, tilts, distances = [], [], []
    for row in rows:
        camera = row.camera
        field_of_view.append(np.degrees(2 * np.arctan(row.image_size_wh[0] / 2 / camera.K[0, 0])))
        up = -camera.R[1] @ (camera.world_up / np.linalg.norm(camera.world_up))
        tilts.append(np.degrees(np.arccos(np.clip(up, -1, 1))))
        distances.append(np.nanmean((row.coords - camera.optical_center_mm) @ camera.R[2]))
    tilts, distances = np.array(tilts), np.array(distances)
    findings.facts[f"{split}: field of view"] = f"median {np.median(field_of_view):.0f} degrees"
    findings.facts[f"{split}: distance"] = f"{np.percentile(distances, 5):.0f} to {np.percentile(distances, 95):.0f} mm"
    if (distances <= 0).mean() > MAX_BAD_FRACTION:
        findings.errors.append(
            f"{split}: {(distances <= 0).mean():.1%} of the people stand behind their camera{_axes_hint(rows)}"
        )
    if np.median(tilts) > 90:
        findings.errors.append(f"{split}: most cameras stand on their head: is world_up right?")
    elif (tilts > 60).mean() > 0.2:
        share = (tilts > 60).mean()
        findings.warnings.append(f"{split}: {share:.0%} of the cameras are tilted by more than 60 degrees")
    if not 0.5 < np.median(field_of_view) < 170:
        findings.errors.append(f"{split}: the median field of view is {np.median(field_of_view):.1f} degrees")


def _check_pixels(findings: Findings, split: str, pixels: np.ndarray, rows: list[Example], kind: str) -> None:
    """Joints in the picture and in their person's box."""
    sizes = np.array([r.image_size_wh for r in rows])[:, None]
    boxes = np.array([r.box_ltwh_px for r in rows], np.float64)[:, None]
    n_labelled = np.maximum(1, np.array([np.isfinite(r.coords).all(-1).sum() for r in rows]))
    largest = float(np.median(boxes[..., 2:].max(-1)))
    if largest < LEAST_BOX_PX:
        findings.errors.append(
            f"{split}: the median person's box is {largest:.2g} px large: boxes and 2D joints are in pixels, not in "
            "shares of the picture"
        )
    with np.errstate(invalid="ignore"):
        inside = ((pixels > -0.5) & (pixels < sizes - 0.5)).all(-1).sum(1) / n_labelled
        margin = 0.1 * boxes[..., 2:]
        low, high = boxes[..., :2] - margin, boxes[..., :2] + boxes[..., 2:] + margin
        boxed = ((pixels >= low) & (pixels <= high)).all(-1).sum(1) / n_labelled
    findings.facts[f"{split}: joints in the picture"] = f"{inside.mean():.1%}"
    findings.facts[f"{split}: joints in the box (+10 %)"] = f"{boxed.mean():.1%}"
    hint = _axes_hint(rows) if kind == "3d" else ""
    if (inside < 0.1).mean() > NEARLY_ALL:
        findings.errors.append(f"{split}: in nearly all examples the joints lie outside the picture{hint}")
    elif boxed.mean() < 0.3:
        findings.errors.append(f"{split}: only {boxed.mean():.0%} of the joints lie in their person's box{hint}")
    elif (boxed < 0.5).mean() > 0.05:
        findings.warnings.append(f"{split}: {(boxed < 0.5).mean():.1%} of the people lie mostly off their box")


def _axes_hint(rows: list[Example]) -> str:
    """Which usual mistake about the camera would explain that people do not lie in their boxes."""
    import dataclasses

    def share(change) -> float:
        found = []
        for row in rows[:50]:
            R, center = change(np.asarray(row.camera.R, np.float64), np.asarray(row.camera.optical_center_mm))
            points = project(dataclasses.replace(row.camera, R=R, optical_center_mm=center), row.coords)
            box = np.asarray(row.box_ltwh_px, np.float64)
            with np.errstate(invalid="ignore"):
                found.append(((points >= box[:2]) & (points <= box[:2] + box[2:])).all(-1).sum())
        return float(np.sum(found) / max(1, sum(np.isfinite(r.coords).all(-1).sum() for r in rows[:50])))

    flip = np.diag([1.0, -1.0, -1.0])
    causes = {
        "R is the rotation from camera to world": lambda R, c: (R.T, c),
        "the position given is t of x_camera = R x + t, the camera's is -R^T t": lambda R, c: (R, -R.T @ c),
        "the axes are OpenGL's (y up, z back)": lambda R, c: (flip @ R, c),
        "R goes from camera to world and has OpenGL's axes": lambda R, c: (flip @ R.T, c),
    }
    shares = {cause: share(change) for cause, change in causes.items()}
    best = max(shares, key=shares.get)
    return f" (they would lie there if {best})" if shares[best] > 0.8 else ""


def _check_sides(findings: Findings, split: str, coords: np.ndarray, skeleton: Skeleton) -> None:
    forward = forwardness(coords, skeleton.joint_names)
    if forward is None:
        return
    findings.facts[f"{split}: faces where its sides say"] = f"{forward:.0%}"
    backwards = f"{split}: {1 - forward:.0%} of the people walk backwards by their labels"
    if forward < 0.2 and len(coords) >= MIN_PEOPLE:
        findings.errors.append(f"{backwards}: left and right are swapped, or the world is mirrored")
    elif forward < 0.8:
        findings.warnings.append(backwards)


def _check_masks(findings: Findings, split: str, rows: list[Example]) -> None:
    """Masks of nothing, and masks of everything."""
    masked = [r for r in rows if r.mask is not None]
    findings.facts[f"{split}: with mask"] = f"{len(masked) / len(rows):.0%}"
    if not masked:
        return
    from rlemasklib import RLEMask

    areas = np.array([RLEMask.from_dict(r.mask).area() for r in masked])
    whole = np.array([float(np.prod(r.image_size_wh)) for r in masked])
    for what, share in (("empty", (areas == 0).mean()), ("of the whole picture", (areas > FULL_MASK * whole).mean())):
        if share > NEARLY_ALL:
            findings.errors.append(f"{split}: nearly all masks are {what}")
        elif share > MAX_BAD_FRACTION:
            findings.warnings.append(f"{split}: {share:.1%} of the masks are {what}")


def forwardness(coords: np.ndarray, joint_names) -> float | None:
    """The share of people whose front points lie on the side that their left and right imply; None if untestable."""
    votes = facing(coords, joint_names)
    return None if votes is None or not votes.any() else float((votes[votes != 0] > 0).mean())


def facing(coords: np.ndarray, joint_names) -> np.ndarray | None:
    """[N] for poses [N, J, 3]: 1 if the front points lie where left and right say, -1 if behind, 0 if neither.

    None where the joints do not allow to tell.
    """
    index: dict[str, int] = {}
    for i, name in enumerate(joint_names):
        index.setdefault(code(name), i)

    def point(base: str) -> np.ndarray | None:
        return coords[:, index[base]] if base in index else None

    across = [(point(f"l{b}"), point(f"r{b}")) for b in ("hip", "sho")]
    across = [left - right for left, right in across if left is not None and right is not None]
    low = next((p for b in ("pelv", "mhip") if (p := point(b)) is not None), None)
    if low is None and "lhip" in index and "rhip" in index:
        low = (point("lhip") + point("rhip")) / 2
    high = next((p for b in ("neck", "thor", "head") if (p := point(b)) is not None), None)
    if high is None and "lsho" in index and "rsho" in index:
        high = (point("lsho") + point("rsho")) / 2
    if not across or low is None or high is None:
        return None
    forward = np.cross(across[0], high - low)
    pairs = [("nose", "neck"), ("nose", "head"), ("leye", "lear"), ("reye", "rear")]
    pairs += [(f"{s}{a}", f"{s}{b}") for s in "lr" for a, b in (("toe", "ank"), ("foo", "ank"), ("toe", "hee"))]
    votes = [
        np.sign(np.einsum("nd,nd->n", forward, point(a) - point(b))) for a, b in pairs if a in index and b in index
    ]
    if not votes:  # knees bend forward
        legs = [[point(s + b) for b in ("hip", "kne", "ank")] for s in "lr"]
        legs = [leg for leg in legs if all(p is not None for p in leg)]
        votes = [np.sign(np.einsum("nd,nd->n", forward, k - (h + a) / 2)) for h, k, a in legs]
    if not votes:
        return None
    with np.errstate(invalid="ignore"):
        return np.sign(np.nansum(votes, axis=0))
