"""The page for those who hear it, use keys, or have large fingers."""

import pytest

from tests.support.browser import go, upload

pytestmark = pytest.mark.browser
TOUCHED = "#answer button:visible, #answer a:visible, #answer summary:visible, #answer select:visible"


def test_what_can_be_touched_has_a_name_of_its_own_and_room_for_a_finger(visit, radiograph_files):
    page = visit(390)
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    page.get_by_role("button", name="Heat map: Pneumonia").click()
    touched = page.locator(TOUCHED)
    names = touched.evaluate_all("all => all.map(one => one.ariaLabel || one.innerText.trim())")
    assert all(names) and len(set(names)) == len(names), names
    heights = touched.evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(heights) >= 44, dict(zip(names, heights, strict=True))
    hidden = page.locator("#answer label:has(input):visible").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert min(hidden) >= 44  # of radio buttons and sliders


def test_the_answer_is_announced_and_stands_in_the_accessibility_tree(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    title = "The model reacts to: pneumonia."
    page.wait_for_function("title => document.querySelector('.heard').textContent === title", arg=title)
    tree = page.locator("#answer").aria_snapshot()
    assert f'heading "{title}" [level=2]' in tree
    for part in ('group "The picture', 'toolbar "View"', 'radiogroup "What to look at"', 'img "The radiograph"'):
        assert part in tree, part
    assert tree.index("Another X-ray") < tree.index(title)
    page.get_by_role("button", name="Show as a negative").click()
    assert page.get_by_role("button", name="Show as a negative", pressed=True).is_visible()


def test_arrow_keys_go_from_tab_to_tab(visit):
    page = visit()
    go(page, "Compare")
    page.get_by_role("tab", name="Compare").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.search.includes('tab=many')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("location.search.includes('tab=compare')")


def test_the_page_says_its_own_address_and_copies_it(visit, server):
    page = visit(query="/?tab=about", wait=".about")
    page.locator(".about code", has_text="view=embed").wait_for()
    assert f'src="{server}/?view=embed"' in page.locator(".about code", has_text="view=embed").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: In a page of yours").click()
    page.get_by_role("button", name="Copy: In a page of yours").filter(has_text="Copied").wait_for()
    assert f"{server}/?view=embed" in page.evaluate("navigator.clipboard.readText()")
