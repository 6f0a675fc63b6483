"""The picture on the page: zoomed, moved, turned."""

import re

import numpy as np
import pytest

from lungfusion import load_radiograph
from tests.support.browser import upload

pytestmark = pytest.mark.browser


def test_the_picture_is_zoomed_moved_and_set_back(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    box = page.locator(".stage").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def transform():
        return page.locator(".stack").evaluate("stack => new DOMMatrix(getComputedStyle(stack).transform).toJSON()")

    page.mouse.move(*middle)
    for _ in range(12):
        page.mouse.wheel(0, -200)
    page.wait_for_function("document.querySelector('.zoomed')")
    assert transform()["a"] == pytest.approx(8)
    before = transform()
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] - 40)
    page.mouse.up()
    moved = transform()
    assert (moved["e"] - before["e"], moved["f"] - before["f"]) == pytest.approx(
        (60, -40), abs=1e-4
    )  # CSS has four digits
    page.mouse.dblclick(*middle)
    assert (transform()["a"], transform()["e"]) == (1, 0)
    page.locator(".stage").focus()
    page.keyboard.press("i")
    assert page.locator("feFuncR").get_attribute("slope") == "-1"
    page.keyboard.press("o")
    assert not page.locator(".contour").is_visible()


def test_the_whole_picture_stands_in_its_frame(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()

    def fits():
        frame, picture = (page.locator(name).bounding_box() for name in (".stage", ".stack"))
        assert picture["width"] == pytest.approx(picture["height"], abs=1)  # a square radiograph
        assert picture["height"] == pytest.approx(min(frame["width"], frame["height"]), abs=1)
        assert picture["y"] >= frame["y"] - 1

    for width, height in ((1920, 1080), (1280, 600), (1000, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        fits()
    page.set_viewport_size({"width": 1280, "height": 600})
    page.locator(".stage").focus()
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement")
    fits()


def turned_and_set_back(page, radiograph_files):
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    before = page.get_by_alt_text("The radiograph").get_attribute("src")
    page.locator(".layers").get_by_text("Lungs", exact=True).click()
    for _ in range(2):
        page.get_by_role("button", name="Turn right").click()
    page.locator(".answer[data-angle='180']").locator("text=As uploaded").wait_for()
    page.wait_for_function("src => document.querySelector('.base').src != src", arg=before)
    page.get_by_role("button", name="As uploaded").click()
    page.wait_for_function("src => document.querySelector('.base').src == src", arg=before)


def test_a_mirrored_picture_is_set_right_and_turned_as_it_is_seen(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()

    def greys():  # of the picture that is seen, coarsely
        return np.array(
            page.get_by_alt_text("The radiograph").evaluate("""async image => {
                await image.decode();
                const canvas = Object.assign(document.createElement("canvas"), {width: 32, height: 32});
                const context = canvas.getContext("2d");
                context.drawImage(image, 0, 0, 32, 32);
                return [...context.getImageData(0, 0, 32, 32).data].filter((_, index) => index % 4 === 0);
            }""")
        ).reshape(32, 32)

    upright = greys()
    page.get_by_role("button", name="Exchange right and left").click()
    page.locator(".answer[data-mirror='1'][data-by-hand='1']:not(.asking)").wait_for()
    mirrored = greys()
    assert np.abs(mirrored - upright[:, ::-1]).mean() < 2 < np.abs(mirrored - upright).mean()
    page.get_by_role("button", name="Turn left").click()
    page.locator(".answer[data-angle='-90']:not(.asking)").wait_for()
    assert np.abs(greys() - np.rot90(mirrored)).mean() < 2
    with page.expect_download() as download:
        page.get_by_role("button", name="Numbers").click()
    assert download.value.suggested_filename == "chest_turned_-90_mirrored.json"


def test_turns_add_up_and_are_taken_back(visit, radiograph_files):
    turned_and_set_back(visit(), radiograph_files)


def test_what_was_chosen_stays_through_turns(visit, radiograph_files):
    page = visit()
    turned_and_set_back(page, radiograph_files)
    page.locator(".background").wait_for(timeout=15000)  # still the lungs; upside down there were none to show


def test_window_and_level_are_set_by_drag_from_all_pixels(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["deep.png"])
    page.locator(".answer").wait_for()
    box = page.locator(".stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - box["width"] / 3, y)
    page.mouse.up()
    said = re.findall(r"[0-9]+", page.locator(".stage output").inner_text())  # W … · L … (0–…), in the file's units
    assert [int(number) for number in said] == pytest.approx([32768, 32768, 0, 65535], abs=2)  # a third left halves it
    page.locator(".viewer.is-deep canvas").wait_for()
    greys = page.locator("canvas.deep").evaluate(
        """canvas => new Promise(done => requestAnimationFrame(() =>
            done([...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])))"""
    )
    pixels = load_radiograph(radiograph_files["deep.png"]).pixels
    wanted = np.round(255 * ((pixels - 0.5) / 0.5 + 0.5).clip(0, 1))
    assert np.abs(np.reshape(greys, (*pixels.shape, 4))[..., 0] - wanted).max() <= 1
    page.mouse.dblclick(x, y)
    assert page.locator(".stage output").inner_text() == ""
    page.keyboard.press("1")
    page.locator(".heat.chosen").wait_for()


def test_a_ruler_a_mirror_and_windows(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    box = page.locator(".stack").bounding_box()
    right, left = (page.locator(f".patients-{side}") for side in ("right", "left"))
    assert right.bounding_box()["x"] < left.bounding_box()["x"] and "as usually shown" in right.inner_text()
    page.get_by_role("button", name="Mirror the view").click()
    assert right.bounding_box()["x"] > left.bounding_box()["x"]
    page.get_by_role("button", name="Ruler").click()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    assert page.locator(".stage output").inner_text() == "128 px"  # no header says how large a pixel is
    page.get_by_role("button", name="Brightness and contrast").click()
    page.locator(".presets").get_by_role("button", name="Lungs").click()
    assert page.locator(".stage output").inner_text().startswith("W ")
    page.get_by_role("button", name="Outline of the lungs").click()
    assert not page.locator(".contour").is_visible()
