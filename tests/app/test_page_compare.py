"""Two radiographs on the page: from the first tab, one by one, and one over the other."""

import pytest

from tests.support.browser import go, upload

pytestmark = pytest.mark.browser


def test_a_second_radiograph_is_compared_with_the_one_that_was_analysed(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    page.get_by_role("button", name="Compare with…").click()
    page.locator(".panel.empty").get_by_text("Choose the second X-ray").wait_for()
    assert "tab=compare" in page.url
    page.locator("#compare-second input[type=file]").set_input_files(radiograph_files["chest.dcm"])
    page.locator(".comparison .panel.second").wait_for()
    assert page.locator(".comparison h2").all_inner_texts() == ["First X-ray", "Second X-ray"]

    page.get_by_text("Swipe", exact=True).click()
    assert not page.locator(".panel.second").is_visible() and page.locator(".over.base").is_visible()
    page.get_by_label("Swipe", exact=True).last.fill("20")
    assert "20%" in page.locator(".over.base").evaluate("image => getComputedStyle(image).clipPath")
    page.get_by_role("radiogroup", name="How to compare").get_by_text("Difference").click()
    assert page.locator(".difference").is_visible() and page.get_by_text("whiter in the second").is_visible()
    page.get_by_text("Blink", exact=True).click()
    for front in ("second", "first"):
        page.locator(f".comparison[data-mode=blink][data-front={front}]").wait_for(state="attached")
    page.get_by_text("Side by side", exact=True).click()
    box = page.locator(".stage:visible").first.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -300)
    page.wait_for_function("document.querySelectorAll('.pair .stage.zoomed').length == 2")  # both alike

    page.get_by_role("button", name="Exchange them").click()
    page.locator(".panel.first", has_text="chest.dcm").wait_for()
    go(page, "Analyse")
    page.locator(".answer").wait_for()  # still there


def test_no_word_is_broken_on_a_telephone(visit, radiograph_files):
    page = visit(390)
    go(page, "Compare")
    for number, name in (("first", "chest.png"), ("second", "deep.png")):
        page.locator(f"#compare-{number} input[type=file]").set_input_files(radiograph_files[name])
        page.locator(f".panel.{number}", has_text=name).wait_for()
    page.locator(".comparison table").wait_for()
    words = page.locator(".comparison tbody th, .comparison thead th, .comparison .choice span")
    lines = words.evaluate_all("""all => all.filter(one => !/[ -]/.test(one.innerText.trim())).map(one => {
        const text = document.createRange();
        text.selectNodeContents(one);
        return [one.innerText, text.getClientRects().length];
    })""")
    assert {"Difference", "Pneumonia"} <= {word for word, _ in lines}
    assert all(number == 1 for _, number in lines), lines
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
