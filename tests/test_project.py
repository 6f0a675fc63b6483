"""The house: who may import whom, pinned requirements, the Space's front matter."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
MODELS_MAY_IMPORT = {
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


def imports(path):
    """(top-level package or relative sibling, level) of every import in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {(alias.name.split(".")[0], 0) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(((node.module or "").split(".")[0], node.level))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "lungfusion" / "models").glob("[a-z]*.py")), ids=lambda p: p.name)
def test_models_import_only_libraries_and_siblings(path):
    siblings = {p.stem for p in path.parent.glob("*.py")}
    for name, level in imports(path):
        assert (level == 1 and name in siblings) or (level == 0 and name in MODELS_MAY_IMPORT), name
    assert not [p for p in path.parent.iterdir() if p.is_dir() and p.name != "__pycache__"]  # flat: copied as it is


@pytest.mark.parametrize("path", sorted((ROOT / "lungfusion").rglob("*.py")), ids=lambda p: p.name)
def test_package_imports_neither_train_nor_gradio(path):
    found = {name for name, level in imports(path) if level == 0}
    assert not {"train", "app", "tests", "datasets", "accelerate"} & found
    assert "gradio" not in found or path.parent == ROOT / "lungfusion" / "app"


@pytest.mark.parametrize("path", sorted((ROOT / "lungfusion" / "app" / "view").glob("*.py")), ids=lambda p: p.name)
def test_view_imports_of_the_package_only_analysis_and_explanation(path):
    assert {name for name, level in imports(path) if level == 3} <= {"analysis", "explanation"}


def test_app_does_no_machine_learning():
    assert not {"torch", "timm", "transformers", "train"} & {name for name, _ in imports(ROOT / "app.py")}


@pytest.mark.parametrize("path", sorted((ROOT / "train").glob("*.py")), ids=lambda p: p.name)
def test_nothing_imports_a_main(path):
    mains = {"segment", "classify", "push", "prepare", "bundle", "compare"}
    text = path.read_text()
    assert not [main for main in mains if re.search(rf"from train\.{main} import|import train\.{main}\b", text)]


def test_requirements_are_the_runtime_and_app_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sorted(project["dependencies"] + project["optional-dependencies"]["app"])
    assert (ROOT / "requirements.txt").read_text().split() == wanted
    assert all(re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+", line) for line in wanted)


def test_front_matter_of_the_space():
    front = yaml.safe_load((ROOT / "README.md").read_text().split("---")[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert front["sdk"] == "gradio"
    assert f"gradio[mcp]=={front['sdk_version']}" in project["optional-dependencies"]["app"]
    assert str(front["python_version"]) == "3.11"
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

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert lungfusion.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_python_is_new_enough():
    assert sys.version_info >= (3, 11)
