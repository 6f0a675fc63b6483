"""Which tests share a process under `pytest -n 2 --dist loadscope`, and which begin first.

A module's tests stay together, and so do modules that ask for what takes long to make: it is made once.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {  # module → what it shares with others, as those of the page do: the app and a browser, or a trained run
    "test_app": "app",
    "test_correction": "test_checkpoint",
    "test_examples": "app",
    "test_mcp": "app",
    "test_security": "app",
    "test_strange_files": "app",
    "test_quality": "training",
    "test_train": "training",
}
FIRST = ("training", "app", "test_compare", "test_checkpoint", "test_gpu")  # the longest


def group_of(nodeid):
    """tests/test_train.py::test_x → training"""
    module = nodeid.split("::")[0].split("/")[-1].removesuffix(".py")
    return "app" if module.startswith("test_page") else TOGETHER.get(module, module)


def pytest_collection_modifyitems(items):
    order = {group: place for place, group in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


class Schedule(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        return group_of(nodeid)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # the longest come first already
    return Schedule(config, log)
