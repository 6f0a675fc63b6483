"""The commands of train/: each can be called, each explains itself by an example, and no room is a command."""

import ast
import importlib
from pathlib import Path

import pytest

TRAIN = Path(__file__).parents[2] / "train"
COMMANDS = sorted(path.stem for path in TRAIN.glob("[a-z]*.py") if path.stem != "io")
PHANTOM = TRAIN / "augment" / "phantom"  # which draws the examples


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_can_be_called_and_shows_an_example(name, capsys):
    command = importlib.import_module(f"train.{name}")
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "usage: " in said
    assert f"-m train.{name} " in said


def test_commands_read_the_terminal_unless_they_are_given_arguments():
    for name in COMMANDS:
        main = next(
            node
            for node in ast.parse((TRAIN / f"{name}.py").read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name == "main"
        )
        assert [argument.arg for argument in main.args.args] == ["arguments"], name
        assert [default.value for default in main.args.defaults] == [None], name


def test_no_room_is_a_command_but_those_that_are_run_by_name():
    run = {TRAIN / "nodules" / "__main__.py", TRAIN / "calibrate" / "views.py"}
    rooms = [path for path in TRAIN.rglob("*.py") if path.parent != TRAIN and PHANTOM not in path.parents]
    assert {path for path in rooms if "__main__" in path.read_text()} == run
