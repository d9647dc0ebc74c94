"""The structure of the code: imports point down, and there is no circle of files."""

import ast
import collections
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("machine",),
    ("errors", "numpy_runtime", "replicas", "skeleton_tables", ""),
    ("joint_names", "safe_pickle", "tables"),
    (
        "backend",
        "dealing",
        "exit_codes",
        "files",
        "interruption",
        "locks",
        "plugins",
        "progress",
        "settings",
        "skeletons",
    ),
    ("flags", "geometry", "motion"),
    ("layers",),
    ("models", "data", "visualization"),
    ("training", "evaluation"),
    ("acae", "inference"),
    ("data_processing",),
    ("config", "presets"),
    ("command_line",),
    ("commands",),
    ("main", "api"),
    ("experiments",),
    ("benchmarks",),
)
"""Parts from the bottom up. A part may import what stands on lower floors, not its neighbours."""


def part_of(module: str) -> str:
    """`models` for metrabs_acae.models.losses, `data_processing` for what is in there; "" for metrabs_acae itself."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "metrabs_acae" else package


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> the modules of this project that it imports anywhere, but for type checkers alone."""
    packages = ("metrabs_acae", "data_processing", "experiments", "benchmarks")
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
    }
    found = collections.defaultdict(set)
    for module, path in paths.items():
        tree = ast.parse(path.read_text())
        for node in [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]:
            node.body = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                package = module if path.name == "__init__.py" else module.rpartition(".")[0]
                base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
                base = ".".join(filter(None, (base, node.module)))
                named = [name if (name := f"{base}.{alias.name}") in paths else base for alias in node.names]
            else:
                continue
            found[module].update(name for name in named if name in paths)
    return dict(found)


def test_every_part_has_its_floor(imports):
    assert {part_of(m) for m in imports} <= {part for floor in FLOORS for part in floor}


def test_imports_point_down(imports):
    floor = {part: i for i, parts in enumerate(FLOORS) for part in parts}
    up = sorted(
        f"{module} imports {other}"
        for module, others in imports.items()
        for other in others
        if part_of(module) != part_of(other) and floor[part_of(other)] >= floor[part_of(module)]
    )
    assert not up


def test_only_one_module_of_the_package_knows_data_processing(imports):
    knowing = {m for m, others in imports.items() if any(part_of(o) == "data_processing" for o in others)}
    assert {m for m in knowing if m.startswith("metrabs_acae")} == {"metrabs_acae.commands.embedded"}


def test_no_files_import_each_other_in_a_circle(imports):
    graphlib.TopologicalSorter(imports).prepare()  # CycleError names the circle
