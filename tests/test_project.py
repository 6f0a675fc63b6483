"""The house: who may import whom, what lies where, dependencies, the Space's front matter."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from train.report.card_words import CITE

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EVERY_DEPENDENCY = sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])
COMMANDS = {"prepare", "segment", "classify", "finetune", "evaluate", "compare", "join", "predict", "push", "bundle"}
ROOMS = {"augment", "calibrate", "data", "engine", "nodules", "publish", "recipes", "report", "scoring"}
MODELS_MAY_IMPORT = {
    "copy",
    "dataclasses",
    "huggingface_hub",
    "math",
    "numpy",
    "PIL",
    "re",
    "scipy",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "torchvision",
    "transformers",
}
TOP_LEVEL = {
    "app.py",
    "lungfusion",
    "train",
    "requirements.txt",
    "README.md",
    "tests",
    "examples",
    "pyproject.toml",
    "Makefile",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
}
IGNORED = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines()} | {"lungfusion.egg-info"}


def dotted(path):
    """lungfusion/models/fusion.py → lungfusion.models.fusion; a package's `__init__.py` → the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {dotted(path): path for folder in ("lungfusion", "train") for path in sorted((ROOT / folder).rglob("*.py"))}
FILES["app"] = ROOT / "app.py"


def imports(name):
    """Full names of the modules that a module imports, at its top or inside its functions."""
    found, package = set(), name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILES else base)
    return found


IMPORTS = {name: imports(name) for name in FILES}


def inside(name, *packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def within(package):
    """Each (importing module, imported module) of a package."""
    return [(name, imported) for name in FILES if inside(name, package) for imported in IMPORTS[name]]


def test_models_are_flat_and_import_only_libraries_and_siblings():
    for name, imported in within("lungfusion.models"):
        assert inside(imported, "lungfusion.models") or imported.split(".")[0] in MODELS_MAY_IMPORT, (name, imported)
    models = ROOT / "lungfusion" / "models"
    assert not [path for path in models.iterdir() if path.is_dir() and path.name != "__pycache__"]  # copied as it is


def test_the_package_imports_neither_train_nor_what_only_training_needs():
    for name, imported in within("lungfusion"):
        assert not inside(imported, "train", "app", "tests", "examples", "datasets", "accelerate"), (name, imported)


def test_the_app_is_a_leaf_and_alone_imports_what_its_extra_brings():
    for name, imported in within("lungfusion"):
        if not inside(name, "lungfusion.app"):
            brought = "gradio", "gradio_client", "reportlab", "jinja2"
            assert not inside(imported, *brought, "lungfusion.app"), (name, imported)


VIEW_MAY_IMPORT = (  # what an analysis says, and geometry: neither reading nor models
    "lungfusion.analysis",
    "lungfusion.evidence",
    "lungfusion.explanation",
    "lungfusion.visualization",
    "lungfusion.checks",
    "lungfusion.app.registration",
    "lungfusion.app.view",
)


def test_view_imports_neither_reading_nor_models():
    for name, imported in within("lungfusion.app.view"):
        assert not inside(imported, "lungfusion") or inside(imported, *VIEW_MAY_IMPORT), (name, imported)


def test_the_app_knows_nothing_of_training():
    for name, imported in [*within("app"), *within("lungfusion.app")]:
        assert not inside(imported, "train", "timm", "transformers"), (name, imported)


def test_only_commands_import_commands():
    """They compose the rooms: one may end as another does."""
    commands = {f"train.{command}" for command in COMMANDS} | {"lungfusion.__main__", "app"}
    for name in FILES.keys() - commands:
        assert not commands & IMPORTS[name], name


def test_only_the_app_and_commands_change_how_the_process_keeps_memory():
    changing = {name for name in FILES if "lungfusion.allocator" in IMPORTS[name]}
    in_package = {name for name in changing if inside(name, "lungfusion")}
    assert in_package == {"lungfusion.__main__", "lungfusion.app.startup", "lungfusion.app.many"}
    assert changing >= {"train.engine.arguments", "train.engine.processes"}


def test_no_import_circle():
    graph = {name: {other for other in IMPORTS[name] if other in FILES and other != name} for name in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


FLOORS = ("io", "data augment", "engine", "scoring", "calibrate", "report", "publish")  # of train, the lowest first


def room(name):
    """train.data.layouts.jsrt → data; a command, such as train.segment → commands; nodules stands beside them."""
    parts = name.split(".")
    return "commands" if len(parts) < 2 or parts[1] in COMMANDS else parts[1]


def test_rooms_of_train_need_each_other_one_way():
    """No two rooms need each other, and each needs lower floors alone."""
    graph = {}
    for name, imported in within("train"):
        if inside(imported, "train") and room(imported) != room(name):
            graph.setdefault(room(name), {})[room(imported)] = f"{name} imports {imported}"
    TopologicalSorter(graph).prepare()
    for floor, rooms in enumerate(FLOORS):
        lower = set(" ".join(FLOORS[: floor + 1]).split())
        for one in rooms.split():
            assert not graph.get(one, {}).keys() - lower, graph[one]


def test_scoring_writes_no_file_and_draws_nothing():
    for name, imported in within("train.scoring"):
        assert not inside(imported, "matplotlib", "csv", "json", "train.report"), (name, imported)
    for name in FILES:
        if inside(name, "train.scoring"):
            assert not re.search(
                r"\bwrite_|\.write_|\.savefig|_pretrained\(.*/|(?<!\.)open\(", FILES[name].read_text()
            ), name


def test_train_holds_commands_on_the_top_floor_and_rooms_below():
    top = {path.name for path in (ROOT / "train").iterdir()} - {"__pycache__", "__init__.py", "README.md"}
    assert {name.removesuffix(".py") for name in top if name.endswith(".py")} <= COMMANDS | {"io"}
    assert {name for name in top if not name.endswith(".py")} <= ROOMS


def test_requirements_pin_the_packages_and_the_app_within_their_ranges():
    pinned = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pins = {pin.name: pin for pin in pinned}
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["app"]]
    assert list(pins) == sorted(requirement.name for requirement in wanted)
    for requirement in wanted:
        (pin,) = pins[requirement.name].specifier
        assert pin.operator == "==" and requirement.specifier.contains(pin.version), requirement
        assert pins[requirement.name].extras == requirement.extras
        assert str(pins[requirement.name].marker) == str(requirement.marker)


def test_the_package_can_be_installed_beside_others():
    """Older versions than those pinned will do (`make lowest` tests them), and none is shut out by a date."""
    pins = {pin.name: pin for pin in map(Requirement, (ROOT / "requirements.txt").read_text().splitlines())}
    for requirement in map(Requirement, PROJECT["dependencies"]):
        bounds = {bound.operator: Version(bound.version) for bound in requirement.specifier}
        (pin,) = pins[requirement.name].specifier
        assert bounds[">="] < Version(pin.version), requirement
        assert ("<" in bounds) == (Version(pin.version).major < 2000), requirement  # a year is no major version


def licence(name):
    """What a package says of its licence: an SPDX expression or classifiers, else a sentence, else a file."""
    distribution = metadata.distribution(name)
    said = distribution.metadata.get_all("License-Expression") or [
        line for line in distribution.metadata.get_all("Classifier") or [] if line.startswith("License")
    ]
    said = said or [line[:100] for line in distribution.metadata.get_all("License") or []]
    return " ".join(said or [file.read_text()[:100] for file in distribution.files if file.name == "LICENSE"])


@pytest.mark.parametrize("name", sorted({Requirement(line).name for line in EVERY_DEPENDENCY}))
def test_every_dependency_may_be_used_with_apache_code(name):
    try:
        said = licence(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    assert not re.search(r"GPL|General Public", said), said
    assert re.search(r"Apache|MIT|BSD|Python Software Foundation", said), said


def test_front_matter_of_the_space():
    front = yaml.safe_load((ROOT / "README.md").read_text().split("---")[1])
    assert front["sdk"] == "gradio"
    assert f"gradio[mcp]=={front['sdk_version']}" in (ROOT / "requirements.txt").read_text().split()
    assert front["python_version"] == "3.12"  # a string: as a number, 3.10 would be 3.1
    assert front["app_file"] == "app.py"
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60  # the Hub's limit
    assert front["colorFrom"] and front["colorTo"] and front["emoji"] and front["title"]
    assert isinstance(front["models"], list)


def test_top_level_holds_nothing_else():
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert names - IGNORED <= TOP_LEVEL | {"screenshots"}


def test_version_is_stated_once_in_each_place():
    import lungfusion

    version = PROJECT["version"]
    assert lungfusion.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert CITE.format(version=version) in (ROOT / "README.md").read_text()


WITHOUT_EXTRAS = """
import sys
for name in ("gradio", "jinja2", "reportlab", "pyarrow", "datasets", "accelerate", "matplotlib", "sklearn"):
    sys.modules[name] = None  # as if it were not installed
import torch
torch.utils.data  # torch looks for some of them by itself
from lungfusion.__main__ import main
sys.exit(main(["examples/radiographs/phantom_clear.png"]))
"""


def test_the_package_needs_no_extra():
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "lungs cover" in done.stdout, done.stderr
