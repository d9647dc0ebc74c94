"""The skeleton atlas: a picture and a table of every convention, for the documentation.

Joints stand at typical places of a standing person seen from the front; the pictures show names and edges, not the
conventions' exact locations.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from metrabs_acae.skeletons import (
    COMMON_2D_JOINTS,
    Skeleton,
    dataset_skeletons,
    extra_skeletons,
    get_skeleton,
    merge_by_name,
    output_skeletons,
    prefix_groups,
    side,
)

# Base name: height in mm of a central joint; (distance from the middle, height) of the left of a pair.
CENTRAL = {
    **{"htop": 1750, "head2": 1690, "head": 1620, "nose": 1600, "jaw": 1550, "neck2": 1530, "backneck": 1515},
    **{"neck": 1480, "neck3": 1455, "upperback": 1430, "clavicle": 1420, "spi4": 1410, "backt": 1400, "spin3": 1390},
    **{"sternum": 1340, "chest": 1330, "thor": 1350, "spi3": 1320, "spin2": 1280, "spi2": 1230, "backl": 1180},
    **{"spi1": 1120, "spin1": 1190, "spin": 1160, "umbilicus": 1060, "bell": 1080, "spin0": 1020, "pelv": 950},
    **{"mhip": 920, "spineshoulder": 1430, "spinemid": 1190, "spinebase": 950},
}
PAIRS = {
    **{"head": (70, 1680), "fronthead": (60, 1690), "backhead": (75, 1660), "brow1": (40, 1660), "eye": (32, 1635)},
    **{"eyehf": (28, 1650), "ear": (78, 1610), "cheek": (50, 1580), "cla": (70, 1435), "sho": (180, 1420)},
    **{"shom": (190, 1450), "sho1": (150, 1460), "sho2": (205, 1400), "scapula": (110, 1370), "back": (90, 1300)},
    **{"breast": (95, 1290), "side": (140, 1180), "waist": (150, 1080), "upperarm": (225, 1300), "arm": (235, 1270)},
    **{"elb": (255, 1150), "elbm": (285, 1160), "elbinner": (225, 1145), "forearm": (275, 1020), "wri": (290, 900)},
    **{"writhumbside": (265, 905), "wripinkieside": (315, 895), "han": (300, 840), "han1": (275, 870)},
    **{"han2": (325, 860), "han3": (300, 830), "thu": (255, 830), "thu2": (240, 790), "thumb": (250, 810)},
    **{"middle1": (305, 800), "middle": (312, 745), "middle3": (310, 765), "fin": (308, 755), "pinkie": (340, 780)},
    **{"asis": (115, 1000), "psis": (60, 1010), "hip": (95, 920), "hipb": (70, 980), "hipf": (125, 975)},
    **{"hipl": (165, 940), "bum": (105, 870), "frontinnerthigh": (65, 730), "frontthigh": (100, 760)},
    **{"thigh": (145, 700), "leg": (125, 660), "kne": (105, 500), "knem": (145, 505), "innerknee": (65, 500)},
    **{"shin": (105, 330), "ank": (105, 95), "ankm": (140, 100), "hee": (90, 40), "foo": (125, 50)},
    **{"toe": (140, 15), "toe2": (150, 0), "to2": (120, 5), "to3": (165, 10), "firstmetatarsal": (105, 20)},
    **{"fifthmetatarsal": (175, 25), "fourthtoe": (165, 5), "handtip": (315, 740), "index": (285, 795)},
    **{"eyein": (18, 1634), "eyeout": (45, 1634), "mouth": (22, 1560)},
}
COLORS = {"l": "#1f77b4", "r": "#d62728", "c": "#555555"}
WIDTH, HEIGHT, SCALE, FLOOR = 640, 640, 0.32, 600


def position(name: str) -> tuple[float, float]:
    """Place of a joint in the picture: the person looks at the reader, so its left is on the right."""
    base = name.split("_")[0]
    if side(name) == "c":
        return WIDTH / 2, FLOOR - SCALE * CENTRAL[base]
    x, height = PAIRS[base[1:]]
    sign = 1 if side(name) == "l" else -1
    return WIDTH / 2 + sign * 1.7 * SCALE * x, FLOOR - SCALE * height


def draw(skeleton: Skeleton, title: str = "") -> str:
    """The skeleton as an SVG picture; names stand at central and left joints, the right ones mirror them."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="15">{escape(title or skeleton.name)}</text>',
        '<text x="12" y="40" fill="#777">the person faces you; blue: its left, red: its right</text>',
    ]
    places = [position(n) for n in skeleton.joint_names]
    for a, b in skeleton.edges:
        (x1, y1), (x2, y2) = places[a], places[b]
        lines.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#999" stroke-width="2"/>')
    for name, (x, y) in zip(skeleton.joint_names, places, strict=True):
        lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLORS[side(name)]}"/>')
    lines += [
        *_labels([(n, p) for n, p in zip(skeleton.joint_names, places, strict=True) if side(n) == "l"], 1),
        *_labels([(n, p) for n, p in zip(skeleton.joint_names, places, strict=True) if side(n) == "c"], -1),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _labels(joints, direction: int) -> list[str]:
    """Names in a column beside the person, in the order of height, each with a line to its joint."""
    column = WIDTH / 2 + direction * 215
    joints = sorted(joints, key=lambda j: j[1][1])
    step = min(14.0, (HEIGHT - 60) / max(1, len(joints)))
    heights: list[float] = []
    for _, (_, y) in joints:
        heights.append(max(heights[-1] + step if heights else 0.0, y + 4))
    lowest = HEIGHT - 8.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], lowest)
        lowest = heights[i] - step
    lines = []
    for (name, (x, y)), last in zip(joints, heights, strict=True):
        anchor = "start" if direction > 0 else "end"
        end = column - direction * 4
        lines.append(
            f'<path d="M{x:.1f} {y:.1f}L{end:.1f} {last - 4:.1f}" stroke="#ccc" stroke-width="0.6"/>'
            f'<text x="{column:.1f}" y="{last:.1f}" text-anchor="{anchor}" font-size="{min(11, step):.1f}">'
            f"{escape(name.split('_')[0])}</text>"
        )
    return lines


def write(docs: Path) -> None:
    """Writes skeletons.md and a picture for each convention into a documentation folder."""
    pictures = docs / "img" / "skeletons"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, skeleton in _drawn().items():
        (pictures / f"{name}.svg").write_text(draw(skeleton, f"{name} ({skeleton.n_joints} joints)"))
    (docs / "skeletons.md").write_text(page())


def _drawn() -> dict[str, Skeleton]:
    return dataset_skeletons() | extra_skeletons()


def page() -> str:
    """The atlas as Markdown."""
    from data_processing.registry import DATASETS
    from data_processing.synthetic.conventions import APPROXIMATIONS

    whole = get_skeleton("union_555")
    merged, target = merge_by_name(whole)
    sides = [side(n) for n in whole.joint_names]
    lines = [
        "# Skeleton atlas",
        "",
        "Made by `python -m data_processing skeletons --docs docs`. Every convention has its own suffix: a joint's",
        "full name is base name, underscore, suffix (`lhip_h36m`). The first letter `l` or `r` is the person's side;",
        "mirror images differ in it only.",
        "",
        f"{len(dataset_skeletons())} conventions, {whole.n_joints} joints: {sides.count('l')} left, "
        f"{sides.count('r')} right, {sides.count('c')} central. Merged by name they are {merged.n_joints}.",
        f"Beside them stand {' and '.join(extra_skeletons())}, the skeletons of other programs.",
        "",
        "| convention | joints | left / right / central | edges | datasets |",
        "|---|---|---|---|---|",
    ]
    for name, skeleton in dataset_skeletons().items():
        users = [d.title for d in DATASETS.values() if name in d.skeleton.split("+") and d.role == "3d"]
        count = [[side(n) for n in skeleton.joint_names].count(s) for s in "lrc"]
        lines.append(
            f"| [{name}](#{name}) | {skeleton.n_joints} | {' / '.join(map(str, count))} | {len(skeleton.edges)} | "
            f"{', '.join(users)} |"
        )
    for name, skeleton in _drawn().items():
        on_the_body = APPROXIMATIONS.get(name, "the dataset's own definition")
        lines += ["", f"## {name}", "", f"![{name}](img/skeletons/{name}.svg)", ""]
        lines += [f"On the synthetic body: {on_the_body}.", ""]
        lines += ["| # | joint | mirror | connected to |", "|---|---|---|---|"]
        bases = [n.split("_")[0] for n in skeleton.joint_names]
        for i, base in enumerate(bases):
            near = [bases[b if a == i else a] for a, b in skeleton.edges if i in (a, b)]
            partner = bases[skeleton.mirror[i]] if skeleton.mirror[i] != i else "itself"
            lines.append(f"| {i} | {base} | {partner} | {', '.join(near) or '-'} |")
    return "\n".join([*lines, *_output_part(), *_common_part(whole), *_merge_part(whole, merged, target)]) + "\n"


def _output_part() -> list[str]:
    lines = [
        "",
        "## Output skeletons",
        "",
        "What an exported model offers by name, in this order of joints. Further names: one per convention",
        "(`<convention>_<number>`) and the empty name for all joints. The model shows the joints without their",
        "convention, as the public MeTRAbs models do (`lhip` for `lhip_h36m`; in `smpl_24` `spi1`, `spi2`, `spi3` for",
        "`bell_smpl`, `spin_smpl`, `thor_smpl`), except in `smpl+head_30` and the empty name.",
        "",
        "| name | joints |",
        "|---|---|",
    ]
    return lines + [
        f"| {name} | {', '.join(f'`{j}`' for j in joints)} |" for name, joints in output_skeletons().items()
    ]


def _common_part(whole: Skeleton) -> list[str]:
    lines = [
        "",
        "## The 17 joints of 2D supervision",
        "",
        "2D datasets share these names. Each supervises the mean of all 3D joints whose name begins with it.",
        "",
        "| 2D joint | 3D joints | which |",
        "|---|---|---|",
    ]
    groups = prefix_groups(COMMON_2D_JOINTS, whole.joint_names)
    for name, group in zip(COMMON_2D_JOINTS, groups, strict=True):
        lines.append(f"| {name} | {len(group)} | {', '.join(whole.joint_names[i] for i in group)} |")
    return lines


def _merge_part(whole: Skeleton, merged: Skeleton, target) -> list[str]:
    lines = [
        "",
        f"## Merged by name: {whole.n_joints} to {merged.n_joints}",
        "",
        "The baseline that treats like-named joints of all conventions as one (MoVi's heel and toe markers, which are",
        "not the joints of that name, stay apart).",
        "",
        "| merged joint | conventions |",
        "|---|---|",
    ]
    for i, name in enumerate(merged.joint_names):
        members = [whole.joint_names[j].partition("_")[2] for j in range(whole.n_joints) if target[j] == i]
        lines.append(f"| {name} | {', '.join(members)} |")
    return lines
