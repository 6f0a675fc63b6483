"""The files of the Space: what the app needs to run, and nothing else of the repository."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NEEDED = (
    "README.md",  # its front matter says how the Space is run
    "LICENSE",
    "app.py",
    "requirements.txt",
    "lungfusion/**/*",  # with the bundled checkpoint
    "examples/overview.png",  # shown in the README
    "examples/radiographs/*",
)


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
