"""A picture is set right before it is analysed: framed, turned, inverted, and its answer laid over it as loaded."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

from lungfusion.analysis import UPRIGHT, Correction
from lungfusion.backends import TorchBackend
from lungfusion.checks.film import film_corners
from lungfusion.checks.framing import find_frame
from lungfusion.checks.geometry import MAX_RESAMPLED, apply_correction, correct_pixels, homography, unwarp_to_original
from lungfusion.reading.radiograph import Radiograph
from tests.support.tiny import draw_phantom
from train.augment.phantom.others import draw_animal, draw_animal_from_the_side, draw_scout
from train.augment.phantom.views import beside_caption, draw_lateral, pair


@pytest.fixture
def pipe(bundled):
    return bundled


def codes(analysis):
    return [warning.code for warning in analysis.warnings]


def dice(alpha, mask):
    return 2 * ((alpha > 0.5) & mask).sum() / ((alpha > 0.5).sum() + mask.sum())


def test_quarter_turns_lose_nothing():
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3) / 6
    radiograph = Radiograph(pixels, "x.png", "PNG")
    assert apply_correction(radiograph, Correction(90, False)).pixels.tolist() == np.rot90(pixels).tolist()
    assert apply_correction(radiograph, Correction(-90, True)).pixels.tolist() == np.rot90(1 - pixels, -1).tolist()
    assert apply_correction(radiograph, UPRIGHT).pixels.tolist() == pixels.tolist()
    mirrored = Correction(90, False, mirror=True)
    assert apply_correction(radiograph, mirrored).pixels.tolist() == np.rot90(pixels)[:, ::-1].tolist()
    _, matrix = correct_pixels(pixels, mirrored)
    np.testing.assert_allclose(unwarp_to_original(np.rot90(pixels)[:, ::-1], matrix, (2, 3)), pixels, atol=1e-6)
    box = ((1 / 3, 0), (1, 0), (1, 0.5), (1 / 3, 0.5))
    assert apply_correction(radiograph, Correction(0, False, box)).pixels.tolist() == pixels[:1, 1:].tolist()


def test_a_radiograph_that_a_program_tilted_comes_back_whole():
    pixels = draw_phantom(seed=0, size=128)[0].clip(0.1)
    tilted = Radiograph(rotate(pixels, 30, order=1), "x.png", "PNG")
    assert tilted.pixels.shape[0] > 170
    back = apply_correction(tilted, Correction(-30, False)).pixels
    assert np.abs(np.array(back.shape) - 128).max() <= 4
    assert np.corrcoef(back[4:124, 4:124].ravel(), pixels[4:124, 4:124].ravel())[0, 1] > 0.9


def test_turning_by_any_angle_takes_bounded_memory():
    pixels = np.full((3000, 4000), 0.5, np.float32)
    turned, _ = correct_pixels(pixels, Correction(17, False))
    assert turned.size < 2 * MAX_RESAMPLED
    assert correct_pixels(pixels, Correction(90, False))[0].shape == (4000, 3000)


QUADRILATERAL = ((0.2, 0.1), (0.8, 0.15), (0.9, 0.9), (0.1, 0.8))


@pytest.mark.parametrize(
    "correction",
    [
        Correction(90, False),
        Correction(180, False),
        Correction(-90, False, ((0.25, 0.1), (0.75, 0.1), (0.75, 0.9), (0.25, 0.9))),
        Correction(30, False),
        Correction(0, False, QUADRILATERAL),
        Correction(90, False, QUADRILATERAL),
    ],
)
def test_what_was_corrected_comes_back_to_where_it_was(correction):
    y, x = np.mgrid[:200, :300]
    pixels = (0.2 + 0.4 * x / 300 + 0.4 * y / 200).astype(np.float32)
    corrected, matrix = correct_pixels(pixels, correction)
    back = unwarp_to_original(corrected, matrix, pixels.shape)
    inside = unwarp_to_original(np.ones_like(corrected), matrix, pixels.shape) > 0.999
    assert inside.mean() > 0.2
    inside[:3] = inside[-3:] = inside[:, :3] = inside[:, -3:] = False  # blurred against black where it was turned
    assert np.abs(back - pixels)[inside].max() < 0.02
    outside = unwarp_to_original(np.ones_like(corrected), matrix, pixels.shape) == 0
    assert outside.any() == (correction.corners is not None)


def test_a_film_straightened_is_as_fine_as_it_was():
    corners = ((0.1, 0.1), (0.8, 0.12), (0.9, 0.9), (0.12, 0.85))
    film = (0.5 + 0.4 * np.sin(np.arange(300) * 2 * np.pi / 6) * np.ones((300, 1))).astype(np.float32)
    photograph = unwarp_to_original(film, homography(2 * np.array(corners) - 1), (400, 400))
    straightened, _ = correct_pixels(photograph, Correction(0, False, corners))
    assert straightened.shape == (315, 313)  # as long as the longer of two opposite sides
    assert straightened.min() >= 0 and straightened.max() <= 1
    assert straightened[20:-20, 20:-20].std() > 0.88 * film.std()  # 0.83 where two pixels are mixed


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_margin_of_one_grey_is_trimmed(grey):
    pixels = draw_phantom(seed=1, size=200)[0]
    noise = np.random.default_rng(0).normal(0, 0.004, (400, 500))
    page = (grey + noise).clip(0, 1).astype(np.float32)
    page[80:280, 140:340] = pixels
    corners = np.array(find_frame(page).corners)
    assert np.abs(corners[[0, 2]] * [500, 400] - [[140, 80], [340, 280]]).max() <= 12  # the air beside a chest is black
    assert find_frame(pixels) == UPRIGHT


def test_what_stands_in_a_margin_is_trimmed_with_it():
    pixels = draw_phantom(seed=1, size=200)[0].clip(0.1)
    screen = np.zeros((440, 200), np.float32)
    screen[120:320] = pixels
    screen[10:22, 8:60:3] = screen[425:430, 80:120] = 1  # a clock, a bar
    corners = np.array(find_frame(screen).corners)
    assert np.abs(corners[[0, 2]] * [200, 440] - [[0, 120], [200, 320]]).max() <= 1
    screen[340:420] = pixels[:80]  # too long for that: a second picture
    assert find_frame(screen) == UPRIGHT


@pytest.mark.parametrize("grey", [0.0, 0.2, 0.9])
def test_a_viewers_small_pictures_are_trimmed(grey):
    pixels = draw_phantom(seed=1, size=320)[0].clip(0.1)
    screen = np.full((350, 500), grey, np.float32)
    screen[15:335, 125:445] = pixels
    for top in (20, 95, 170, 245):
        screen[top : top + 64, 20:84] = pixels[::5, ::5]
    corners = np.array(find_frame(screen).corners)
    assert np.abs(corners[[0, 2]] * [500, 350] - [[125, 15], [445, 335]]).max() <= 1


def test_narrow_margins_and_pictures_of_nothing_are_left():
    pixels = draw_phantom(seed=1, size=200)[0]
    narrow = find_frame(np.pad(pixels, 10, constant_values=1))
    assert narrow == UPRIGHT or narrow.is_box  # but no photograph
    assert find_frame(np.pad(pixels, 30)) == UPRIGHT
    assert find_frame(np.full((100, 100), 0.5, np.float32)) == UPRIGHT
    spot = np.zeros((100, 100), np.float32)
    spot[50, 50] = 1
    assert find_frame(spot) == UPRIGHT


SLOPE = np.linspace(-0.08, 0.08, 400, dtype=np.float32)[:, None]  # of the light on a wall


@pytest.mark.parametrize("ground", [0.15, 0.95, 0.1 + SLOPE, 0.9 + SLOPE])
def test_the_corners_of_a_film_are_found(ground):
    film = 0.3 + 0.5 * draw_phantom(seed=2, size=300)[0]
    found = np.array(film_corners(laid_on(film, QUADRILATERAL, ground)))
    assert np.abs(found - QUADRILATERAL).max() < 0.003


def test_a_film_partly_as_bright_as_what_it_lies_on_is_found():
    film = 0.3 + 0.5 * draw_phantom(seed=2, size=300)[0]
    film[:90, :12] = film[-12:, :90] = 0.95
    found = np.array(film_corners(laid_on(film, QUADRILATERAL, 0.95)))
    assert np.abs(found - QUADRILATERAL).max() < 0.003


def test_what_fades_into_black_is_no_film():
    film = np.full((300, 300), 0.6, np.float32)
    seen = laid_on(film, QUADRILATERAL, 0)
    assert film_corners(seen) is not None
    assert film_corners(gaussian_filter(seen, 12)) is None


def laid_on(film, corners, ground):
    """A film with its corners there, (400, 360), on a ground of one grey, or (400, 360) of several."""
    matrix = homography(2 * np.array(corners) - 1)
    covered = unwarp_to_original(np.ones_like(film), matrix, (400, 360))
    return unwarp_to_original(film, matrix, (400, 360)) + (1 - covered) * np.float32(ground)


# With the bundled checkpoint


@pytest.mark.parametrize(
    "change, back, correction",
    [
        (lambda x: np.rot90(x), lambda x: np.rot90(x), Correction(-90, False)),
        (lambda x: np.rot90(1 - x, 2), lambda x: np.rot90(x, 2), Correction(180, True)),
        (lambda x: 1 - x, lambda x: x, Correction(0, True)),
    ],
)
def test_a_picture_is_set_right_and_its_answer_lies_over_it_as_loaded(pipe, change, back, correction):
    pixels, mask = draw_phantom(seed=4, size=384)
    pixels, mask = pixels[:, 40:-20], mask[:, 40:-20]
    upright, changed = pipe(pixels), np.ascontiguousarray(change(pixels))
    analysis = pipe(changed)
    assert analysis.correction == correction and analysis.to_dict()["correction"] == correction.to_dict()
    assert codes(analysis) == ["corrected"]
    assert (analysis.radiograph.pixels == changed).all() and analysis.alpha.shape == changed.shape
    assert dice(analysis.alpha, back(mask)) > 0.95
    for one, other in zip(analysis.findings, upright.findings, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-3)
    assert pipe(changed, correct=False).correction == UPRIGHT


@pytest.mark.parametrize("by_hand", [Correction(mirror=True), Correction(90, mirror=True), Correction(-14, True)])
def test_a_picture_is_set_right_by_hand_and_by_nothing_else(pipe, by_hand):
    pixels, _ = draw_phantom(seed=4, size=384)
    corrected = apply_correction(Radiograph(pixels, "x.png", "PNG"), by_hand)
    analysis, (same,) = pipe(pixels, correct=by_hand), pipe([corrected], correct=False)
    assert analysis.correction == by_hand
    assert (analysis.right_lung_area, analysis.left_lung_area) == (same.right_lung_area, same.left_lung_area)
    assert [finding.probability for finding in analysis.findings] == [finding.probability for finding in same.findings]
    assert analysis.alpha.shape == pixels.shape
    assert [one.correction for one in pipe([pixels, pixels], correct=by_hand)] == [by_hand, by_hand]


def test_a_mirrored_picture_mirrored_by_hand_has_its_right_lung_on_the_right(pipe):
    pixels, mask = draw_phantom(seed=4, size=384)
    usual, mirrored = pipe(pixels), np.ascontiguousarray(pixels[:, ::-1])
    analysis = pipe(mirrored, correct=Correction(mirror=True))
    assert codes(analysis) == ["corrected"]
    assert analysis.right_lung_area == pytest.approx(usual.right_lung_area)
    assert dice(analysis.alpha, mask[:, ::-1]) > 0.95


def test_margins_leave_the_answer_as_it_is_and_are_put_back(pipe):
    pixels, mask = draw_phantom(seed=4, size=384)
    plain, page = pipe(pixels), np.pad(pixels, ((150, 100), (120, 130)), constant_values=1)
    analysis = pipe(page)
    assert codes(analysis) == codes(plain) == []
    assert dice(analysis.alpha, np.pad(mask, ((150, 100), (120, 130)))) > 0.95
    for one, other in zip(analysis.findings, plain.findings, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=0.05)
    name = pipe.model.config.explained[0]
    assert pipe.explain(page, name)[:140].max() == 0 < pipe.explain(page, name).max()


def test_a_margin_does_not_make_a_radiograph_inverted(pipe):
    pixels = draw_phantom(seed=2, size=384)[0]
    for margin in (40, 77, 115, 154):
        assert codes(pipe(np.pad(pixels, margin, constant_values=1))) == []


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_a_chest_from_the_side_gets_no_answer(pipe, seed):
    analysis = pipe(draw_lateral(seed=seed, size=384)[0])
    assert codes(analysis) == ["lateral_view"] and not analysis.findings


@pytest.mark.parametrize("draw", [draw_scout, draw_animal, draw_animal_from_the_side])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scouts_and_animals_get_no_answer(pipe, draw, seed):
    assert pipe(draw(seed=seed, size=384)).refused


@pytest.mark.parametrize("kind", ["stacked", "side by side", "beside a caption", "beside a lateral view"])
def test_more_than_one_picture_gets_no_answer(pipe, kind):
    first, second = draw_phantom(seed=1, size=384)[0], draw_phantom(seed=3, size=384)[0]
    picture = {
        "stacked": lambda: pair(first, second, axis=0, gap=10, grey=1.0),
        "side by side": lambda: pair(first, second, gap=10),
        "beside a caption": lambda: beside_caption(first),
        "beside a lateral view": lambda: pair(first, draw_lateral(seed=1, size=384)[0]),
    }[kind]()
    analysis = pipe(picture)
    assert codes(analysis) == ["several_pictures"] and not analysis.findings
    assert analysis.correction.angle == 0


def test_a_radiograph_that_looks_usual_costs_one_pass(pipe, monkeypatch):
    calls, ask = [], pipe.backend

    class Counting(TorchBackend):
        def __call__(self, pixel_values):
            calls.append(1)
            return ask(pixel_values)

        def ood_score(self, pixel_values):
            pytest.fail("It was looked at again.")

    monkeypatch.setattr(pipe, "backend", Counting(pipe.model))
    assert pipe(draw_phantom(seed=1, size=320)[0]).ood_score < 1.4
    assert len(calls) == 1
