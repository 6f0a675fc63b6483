"""The page for those who hear it, use keys, or have large fingers."""

import pytest

from tests.support.browser import upload

pytestmark = pytest.mark.browser
TOUCHED = "#answer :is(button, a, summary, select):visible, .top :is(a, summary):visible"


def test_what_can_be_touched_has_a_name_of_its_own_and_room_for_a_finger(visit, radiograph_files):
    page = visit(390)
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    page.locator(".finding[data-name=pneumonia] summary").click()
    page.get_by_role("button", name="Tools").click()
    touched = page.locator(TOUCHED)
    names = touched.evaluate_all("all => all.map(one => one.ariaLabel || one.innerText.trim())")
    assert all(names) and len(set(names)) == len(names), names
    heights = touched.evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(heights) >= 44, dict(zip(names, heights, strict=True))
    hidden = page.locator("#answer :is(label:has(input), .layers label):visible").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert min(hidden) >= 44  # of radio buttons and sliders


def test_the_answer_is_announced_and_stands_in_the_accessibility_tree(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    title = "The model sees: pneumonia."
    page.wait_for_function("title => document.querySelector('.heard').textContent === title", arg=title)
    tree = page.locator("#answer").aria_snapshot()
    assert f'heading "{title}" [level=2]' in tree
    for part in ('group "The picture', 'toolbar "Tools"', 'radiogroup "What to look at"', 'img "The radiograph"'):
        assert part in tree, part
    assert tree.index(title) < tree.index('img "The radiograph"') < tree.index("Another X-ray")
    assert page.evaluate("document.activeElement.className") == "headline"  # keys go on from the answer
    page.get_by_role("button", name="Show as a negative").click()
    assert page.get_by_role("button", name="Show as a negative", pressed=True).is_visible()


def test_arrow_keys_go_from_room_to_room(visit):
    page = visit()
    page.locator(".brand").focus()
    page.keyboard.press("Tab")  # one stop for all rooms
    seen = page.locator(".rooms a[aria-selected=true]")
    for key, name in (("ArrowRight", "Learn"), ("ArrowRight", "Compare"), ("Home", "Analyse"), ("ArrowLeft", "About")):
        page.keyboard.press(key)
        page.locator(".rooms a[aria-selected=true]", has_text=name).wait_for()
        assert seen.evaluate("link => link === document.activeElement && link.tabIndex === 0")
    assert page.locator(".rooms a[tabindex='-1']").count() == 4 and "tab=about" in page.url


def test_the_page_says_its_own_address_and_copies_it(visit, server):
    page = visit(query="/?tab=about", wait=".about")
    page.locator(".about code", has_text="view=embed").wait_for()
    assert f'src="{server}/?view=embed"' in page.locator(".about code", has_text="view=embed").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: In a page of yours").click()
    page.get_by_role("button", name="Copy: In a page of yours").filter(has_text="Copied").wait_for()
    assert f"{server}/?view=embed" in page.evaluate("navigator.clipboard.readText()")
