"""The picture of docs/use-the-model.md: image, camera and world frames in one scene.

    python -m metrabs_acae.visualization.frames docs/img/frames.png

Left, the scene from the side: a camera and a person on the world's floor. Right, what the camera sees. All of it is
computed with the conventions that it explains: extrinsics take world points to the camera, intrinsics these to pixels.
"""

from __future__ import annotations

import sys

import numpy as np

WIDTH, HEIGHT, FOCAL = 640, 480, 700.0
INTRINSICS = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
JOINTS_MM = {  # world frame, z up, the person faces -y
    **{"pelv": (0, 0, 930), "lhip": (130, 0, 920), "rhip": (-130, 0, 920), "lkne": (150, -190, 520)},
    **{"rkne": (-150, 60, 490), "lank": (150, -90, 100), "rank": (-160, 260, 130), "spin": (0, -10, 1180)},
    **{"neck": (0, -30, 1460), "head": (0, -70, 1560), "htop": (0, -40, 1700), "lsho": (170, -20, 1410)},
    **{"rsho": (-170, -20, 1410), "lelb": (290, 60, 1170), "relb": (-300, -120, 1190)},
    **{"lwri": (330, -90, 960), "rwri": (-420, -330, 1330)},
}
EDGES = "htop-head-neck-spin-pelv-lhip-lkne-lank pelv-rhip-rkne-rank neck-lsho-lelb-lwri neck-rsho-relb-rwri".split()
X, Y, Z = "#d62728", "#2ca02c", "#1f77b4"


def look_at(position, target) -> tuple[np.ndarray, np.ndarray]:
    """(R, t), world to camera, of an upright camera."""
    z = np.subtract(target, position) / np.linalg.norm(np.subtract(target, position))
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return rotation, -rotation @ position


def project(points, rotation, translation, intrinsics):
    camera = np.atleast_2d(points) @ rotation.T + translation
    return (camera / camera[:, 2:] @ intrinsics.T)[:, :2]


def draw(path) -> None:
    """Writes the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    position = np.array([-600.0, -3300, 1500])
    rotation, translation = look_at(position, [60, 0, 900])
    eye = look_at([4300, -7600, 3300], [0, -1300, 850])
    view = (*eye, np.array([[1000.0, 0, 0], [0, 1000, 0], [0, 0, 1]]))
    to_world = lambda p: (np.atleast_2d(p) - translation) @ rotation  # noqa: E731

    figure, (scene, picture) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(1.45, 1))
    line = lambda ax, pts, **kw: ax.plot(*np.asarray(pts).T, **{"color": "0.4", "lw": 1, **kw})  # noqa: E731
    seen = lambda pts: project(pts, *view)  # noqa: E731

    def arrow(ax, start, end, color, text, offset=(4, 4)):
        ax.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.8, "shrinkA": 0, "shrinkB": 0}
        )
        ax.annotate(text, end, offset, textcoords="offset points", color=color, fontsize=10, weight="bold")

    for k in range(-1500, 1501, 500):  # floor
        line(scene, seen([[k, -4000, 0], [k, 1000, 0]]), color="0.85", zorder=0)
    for k in range(-4000, 1001, 500):
        line(scene, seen([[-1500, k, 0], [1500, k, 0]]), color="0.85", zorder=0)

    # World frame
    origin = np.array([1000.0, -2000, 0])
    for axis, color, text in ((0, X, "X"), (1, Y, "Y"), (2, Z, "Z (up)")):
        arrow(scene, *seen([origin, origin + np.eye(3)[axis] * 700]), color, text)
    scene.annotate("world frame, mm", seen(origin)[0], (-75, -18), textcoords="offset points", fontsize=9)

    # Camera frame and image plane
    depth = 1350.0
    corners_px = np.array([[0, 0], [WIDTH - 1, 0], [WIDTH - 1, HEIGHT - 1], [0, HEIGHT - 1]], float)
    rays = np.concatenate([corners_px, np.ones((4, 1))], axis=1) @ np.linalg.inv(INTRINSICS).T
    plane = to_world(rays * depth)
    line(scene, seen(plane[[0, 1, 2, 3, 0]]), color="0.2")
    scene.fill(*seen(plane).T, color="#fff3c4", alpha=0.7, zorder=1)
    for corner in plane:
        line(scene, seen([position, corner]), color="0.6", lw=0.8)
    for axis, color, text, offset in (
        (0, X, "x (right)", (-2, -14)),
        (1, Y, "y (down)", (-24, -14)),
        (2, Z, "z (forward)", (-14, 8)),
    ):
        arrow(scene, *seen([position, to_world(np.eye(3)[axis] * 600)[0]]), color, text, offset)
    scene.annotate("camera frame, mm", seen(position)[0], (-60, 28), textcoords="offset points", fontsize=9)

    # Person, and where each joint is seen
    names = list(JOINTS_MM)
    joints = np.array(list(JOINTS_MM.values()), float)
    pixels = project(joints, rotation, translation, INTRINSICS)
    on_plane = to_world(
        np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(INTRINSICS).T * depth
    )
    for path_of_names in EDGES:
        indices = [names.index(n) for n in path_of_names.split("-")]
        line(scene, seen(joints[indices]), color="k", lw=2.5, zorder=3)
        line(scene, seen(on_plane[indices]), color="k", lw=1.2, zorder=3)
        line(picture, pixels[indices], color="k", lw=2)
    scene.plot(*seen(joints).T, "o", color="#ff7f0e", ms=4, zorder=4)
    picture.plot(*pixels.T, "o", color="#ff7f0e", ms=5, zorder=4)
    wrist = names.index("lwri")
    line(scene, seen([position, joints[wrist]]), color="#9467bd", lw=1, ls="--", zorder=2)
    scene.annotate("poses3d", seen(joints[wrist])[0], (10, 0), textcoords="offset points", color="#9467bd", fontsize=10)
    picture.annotate("poses2d", pixels[wrist], (10, -4), textcoords="offset points", color="#9467bd", fontsize=10)

    # Image frame
    picture.fill(*corners_px.T, color="#fff3c4", zorder=0)
    line(picture, corners_px[[0, 1, 2, 3, 0]], color="0.2")
    arrow(picture, (0, 0), (150, 0), X, "u", (-4, -14))
    arrow(picture, (0, 0), (0, 150), Y, "v", (6, 2))
    left, top = pixels.min(0) - 15
    right, bottom = pixels.max(0) + 15
    line(picture, [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], color="#17becf", lw=1.5)
    label = {"textcoords": "offset points", "color": "#17becf", "fontsize": 9}
    picture.annotate("box: left, top, width, height", (left, bottom), (-30, -13), **label)
    picture.annotate(
        "(0, 0):\ncentre of\nthe top-left\npixel", (0, 0), (24, -62), textcoords="offset points", fontsize=9
    )
    picture.set_title("image frame, px", fontsize=10)
    for ax, limits in ((scene, None), (picture, ((-15, WIDTH + 10), (HEIGHT + 10, -22)))):
        ax.set_aspect("equal")
        ax.axis("off")
        if limits:
            ax.set_xlim(limits[0])
            ax.set_ylim(limits[1])
        else:
            ax.invert_yaxis()
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    draw(sys.argv[1])
