"""The files of the Space: what the app needs to run, and nothing else of the repository."""

from pathlib import Path

from huggingface_hub import SpaceCard

ROOT = Path(__file__).parent.parent.parent
NEEDED = (
    "README.md",  # its front matter says how the Space is run
    "LICENSE",
    "app.py",
    "requirements.txt",
    "lungfusion/**/*",  # with the bundled checkpoint
    "examples/overview.png",  # shown in the README; of a phantom, drawn by the project
    "examples/radiographs/*",
)
PYTHON = "3.12"  # the one that ZeroGPU has (3.12 or 3.10) and the package takes (3.11 and later)


def space_files(root=ROOT):
    """{name in the Space: `Path`}, by name.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    files = {}
    for pattern in NEEDED:
        found = [path for path in root.glob(pattern) if path.is_file() and "__pycache__" not in path.parts]
        if not found:
            raise FileNotFoundError(f"{root} has no {pattern}: run this in a clone of the repository.")
        files |= {path.relative_to(root).as_posix(): path for path in found}
    return dict(sorted(files.items()))


def write_space_card(readme, path, model=None):
    """Write the README of a Space: the repository's, its front matter set to the Hub's Python and to the model served.

    Args:
        readme, path: `Path` of the repository's README, and of the Space's.
        model: OWNER/NAME of the model that the Space serves; the bundled one if None.
    """
    card = SpaceCard.load(readme)
    card.data.python_version = PYTHON
    if model:
        card.data.models = [model]
    card.save(path)
