"""Pictures of an autoencoder: its weights, and its latents on a pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.acae.autoencoder import Acae
from metrabs_acae.joint_names import side
from metrabs_acae.layers import blocks
from metrabs_acae.skeletons import dataset_skeletons

_SHOWN_WEIGHT = 0.1


def draw_weights(acae: Acae, path: str | Path) -> None:
    """Encoder (transposed) and decoder as images: a row per latent, a column per joint, left, right and central."""
    figure = _figure(max(10.0, min(40.0, acae.n_joints * 0.09)), max(5.0, acae.n_latents * 0.28))
    order, names = _display_order(acae.joint_names)
    limits = [i for i in range(1, len(order)) if side(names[i]) != side(names[i - 1])]
    for i, (title, weights) in enumerate((("encoder", acae.encoder.T[:, order]), ("decoder", acae.decoder[:, order]))):
        axes = figure.add_subplot(2, 1, i + 1)
        image = axes.imshow(weights, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_title(f"{title} weights, {acae.n_latents} latents x {acae.n_joints} joints", fontsize=10)
        axes.set_yticks(range(acae.n_latents), acae.latent_names, fontsize=5)
        if acae.n_joints <= 150:
            axes.set_xticks(range(acae.n_joints), names, fontsize=5, rotation=90)
        for limit in limits:
            axes.axvline(limit - 0.5, color="0.5", linewidth=0.6)
        figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
    _save(figure, path)


def draw_latents(acae: Acae, pose_mm: np.ndarray, path: str | Path) -> None:
    """One pose from the front: its joints and latents, and lines to the joints that each latent drives.

    A joint is driven by the latent with its largest decoder weight; thinner lines show other weights above 0.1.
    """
    from matplotlib.collections import LineCollection

    pose = np.asarray(pose_mm, np.float64)
    latents = acae.encode(pose)
    figure = _figure(16.0, 9.0)
    colors = _colors(acae)
    strongest = np.abs(acae.decoder).argmax(axis=0)
    driven = np.argwhere(np.abs(acae.decoder) > _SHOWN_WEIGHT)
    views = (("image plane", pose[:, :2] / pose[:, 2:], latents[:, :2] / latents[:, 2:]),)
    views += (("from the side", pose[:, [2, 1]] / 1000, latents[:, [2, 1]] / 1000),)
    for i, (title, joints, points) in enumerate(views):
        axes = figure.add_subplot(1, 2, i + 1)
        bones = [joints[[a, b]] for a, b in _edges(acae.joint_names)]
        axes.add_collection(LineCollection(bones, colors="0.88", linewidths=0.8, zorder=0))
        axes.add_collection(
            LineCollection(
                [(points[k], joints[j]) for k, j in driven],
                colors=[colors[k] for k, _ in driven],
                linewidths=[1.6 if k == strongest[j] else 0.4 for k, j in driven],
                zorder=1,
            )
        )
        axes.scatter(*joints.T, s=7, color=[colors[k] for k in strongest], zorder=2)
        axes.scatter(*points.T, s=60, color=colors, edgecolors="black", linewidths=0.8, zorder=3)
        for name, (x, y) in zip(acae.latent_names, points, strict=True):
            axes.annotate(name, (x, y), fontsize=6, xytext=(4, 4), textcoords="offset points", zorder=4)
        axes.set_aspect("equal", adjustable="datalim")
        axes.invert_yaxis()
        axes.set_title(f"{title}: latents (rings), joints (dots, colour of the latent that drives them)", fontsize=9)
        axes.tick_params(labelsize=6)
    _save(figure, path)


def draw_joint_errors(acae: Acae, joint_2d_mm: np.ndarray, joint_3d_mm: np.ndarray, path: str | Path) -> None:
    """Mean reconstruction error of every joint, a panel per convention."""
    conventions = list(dict.fromkeys(n.partition("_")[2] for n in acae.joint_names))
    columns = min(3, len(conventions))
    lines = -(-len(conventions) // columns)
    figure = _figure(5.5 * columns, 2.6 * lines)
    top = float(np.nanmax([joint_2d_mm, joint_3d_mm])) * 1.05 + 1e-9
    for i, convention in enumerate(conventions):
        members = [j for j, n in enumerate(acae.joint_names) if n.partition("_")[2] == convention]
        axes = figure.add_subplot(lines, columns, i + 1)
        at = np.arange(len(members))
        axes.bar(at - 0.2, joint_3d_mm[members], 0.4, label="3D", color="tab:gray")
        axes.bar(at + 0.2, joint_2d_mm[members], 0.4, label="image plane", color="tab:orange")
        axes.set_xticks(at, [acae.joint_names[j].partition("_")[0] for j in members], rotation=90, fontsize=5)
        axes.set_ylim(0, top)
        axes.set_title(convention or "joints", fontsize=8)
        axes.tick_params(axis="y", labelsize=6)
        if i == 0:
            axes.legend(fontsize=6)
            axes.set_ylabel("mean error, mm", fontsize=7)
    _save(figure, path)


def _display_order(joint_names: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Joints as left, right and central ones, each sorted by base name, so that like-named joints stand together."""
    key = {n: ("lrc".index(side(n)), n[1:] if side(n) != "c" else n) for n in joint_names}
    order = np.array(sorted(range(len(joint_names)), key=lambda i: key[joint_names[i]]))
    return order, [joint_names[i] for i in order]


def _edges(joint_names: tuple[str, ...]) -> list[tuple[int, int]]:
    index = {n: i for i, n in enumerate(joint_names)}
    edges = []
    for skeleton in dataset_skeletons().values():
        names = skeleton.joint_names
        edges += [(index[names[a]], index[names[b]]) for a, b in skeleton.edges if {names[a], names[b]} <= set(index)]
    return edges


def _colors(acae: Acae) -> list:
    """A colour per latent; mirrored latents are a light and a dark shade of one."""
    import matplotlib

    hues = matplotlib.colormaps["hsv"]
    partners = blocks.layout_of(acae.latent_names).mirror
    kinds = np.minimum(partners, np.arange(acae.n_latents))
    ranks = {kind: i for i, kind in enumerate(sorted(set(kinds.tolist())))}
    colors = []
    for latent, kind in enumerate(kinds):
        red, green, blue, _ = hues((ranks[int(kind)] * 0.381966) % 1.0)
        shade = 0.55 if side(acae.latent_names[latent]) == "r" else 0.9
        colors.append((red * shade, green * shade, blue * shade))
    return colors


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path: str | Path) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
