"""Which tests share a process, and which begin first, under `pytest -n 2 --dist loadgroup --no-loadscope-reorder`.

What takes long to make is made once: all tests that ask for it run in one process. Else a module's tests stay together.
"""

import pytest

SHARED = {  # fixture → the group of those who ask for it
    "server": "app",
    "served": "app",
    "browser": "app",
    "training_data": "training",
}
FIRST = ("training", "app", "test_compare", "test_lesions", "test_checkpoint", "test_gpu")  # the longest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    groups = {item: group_of(item) for item in items}
    order = {group: place for place, group in enumerate(dict.fromkeys([*FIRST, *groups.values()]))}
    items.sort(key=lambda item: order[groups[item]])
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))


def group_of(item):
    shared = [group for fixture, group in SHARED.items() if fixture in item.fixturenames]
    return shared[0] if shared else item.path.stem
