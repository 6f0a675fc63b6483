"""Comparing recipes for real, tiny: every run, its scores, the table, and what a second call does."""

import csv
import itertools
import json

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from tests.support.helpers import ROOT, TINY_LUNGS, write_source
from tests.support.launching import RECIPES, train_here
from tests.support.tiny import tiny_model
from tests.support.trained import FEW_DRAWS
from train import compare, segment
from train.compare import Run, mean_of_sources, mean_said, plan, read_means, read_said, sum_of_costs, summarise
from train.engine.recipe import load_recipe
from train.io import write_csv
from train.report.card import which_epoch
from train.scoring.comparison import findings_table, mean_auc, what_helps_table
from train.scoring.cost import measure_cost

RECIPE = ROOT / "train" / "recipes" / "lungs_plain.yaml"
GRID = {
    "folds": [0],
    "seeds": [0, 1],
    "variants": {
        "as_it_is": [],
        "hardened": ["augmentation={preset: strong, flip: 0.5}", "loss=boundary", "validate_on=corrupted"],
    },
}


def compare_variants(folder, grid):
    """The command."""
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    command = ["--recipe", str(RECIPE), "--grid", str(folder / "grid.yaml"), "--output", str(folder / "compared")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*FEW_DRAWS)
        patch.setattr(compare, "launch", launch_here)
        compare.main([*command, f"data_root={folder}/data", *TINY_LUNGS, "epochs=1"])


def launch_here(module, *arguments):
    assert (module, arguments[0], arguments[2]) == ("train.segment", "--recipe", "--output")
    train_here(segment, arguments[1], arguments[3], *arguments[4:])


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Folder of a finished comparison."""
    folder = tmp_path_factory.mktemp("compare")
    write_source(folder / "data" / "shenzhen-tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=True)
    compare_variants(folder, GRID)
    return folder


def test_table_has_a_row_for_each_variant(compared):
    table = json.loads((compared / "compared" / "compare.json").read_text())
    assert list(table) == list(GRID["variants"])
    lines = (compared / "compared" / "compare.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| as_it_is", "| hardened"]
    for row, line in zip(table.values(), lines[2:], strict=True):
        assert row["runs"] == 2
        assert row["parameters"] == table["as_it_is"]["parameters"] > 1000
        assert row["seconds_per_epoch"] > 0
        for name in ("dice", "dice_corrupted", "pixel_accuracy"):
            low, high = row[name]["interval"]
            assert 0 <= low <= row[name]["value"] <= high <= 1
            assert f"{row[name]['value']:.3f} ({low:.3f}–{high:.3f})" in line


def test_difference_to_the_first_variant_is_taken_image_by_image(compared):
    table = json.loads((compared / "compared" / "compare.json").read_text())
    for name in ("dice", "dice_corrupted"):
        first, other = (table[variant] for variant in GRID["variants"])
        assert first[f"{name}_difference"] == {"value": 0, "interval": [0, 0]}
        change, (low, high) = other[f"{name}_difference"].values()
        assert change == pytest.approx(other[name]["value"] - first[name]["value"])
        assert low <= change <= high and low < high


def test_runs_are_pooled(compared):
    folder = compared / "compared" / "as_it_is"
    runs = [json.loads((folder / f"fold0-seed{seed}" / "robustness.json").read_text()) for seed in (0, 1)]
    row = json.loads((compared / "compared" / "compare.json").read_text())["as_it_is"]
    assert row["images"] == sum(run["clean"]["images"] for run in runs)
    for name, version in (("dice", "clean"), ("dice_corrupted", "corrupted")):
        assert row[name]["value"] == pytest.approx(sum(run[version]["dice"]["value"] for run in runs) / 2)


def test_clean_scores_are_those_of_the_evaluation(compared):
    run = compared / "compared" / "hardened" / "fold0-seed0"
    metrics = json.loads((run / "metrics.json").read_text())["shenzhen"]["lungs"]
    clean = json.loads((run / "robustness.json").read_text())["clean"]
    assert clean["images"] == metrics["images"]
    assert clean["dice"] == metrics["dice"]
    assert clean["pixel_accuracy"] == metrics["pixel_accuracy"]


def test_the_epoch_is_chosen_on_corrupted_images_where_asked(compared):
    plain, corrupted = (
        json.loads((compared / "compared" / name / "fold0-seed0" / "history.json").read_text())[0]
        for name in GRID["variants"]
    )
    assert "dice" in plain and "dice_corrupted" not in plain
    assert "dice_corrupted" in corrupted and "dice" not in corrupted
    card = (compared / "compared" / "hardened" / "fold0-seed0" / "README.md").read_text()
    assert "One epoch, whose last weights are kept" in card
    epochs = [{"epoch": number, "loss": 1.0, "dice_corrupted": dice} for number, dice in ((1, 0.5), (2, 0.4))]
    assert which_epoch(epochs) == "2 epochs; kept: epoch 1, chosen by dice_corrupted on validation patients."


def write_run(folder, probabilities, labels, source="adults"):
    """A finished run of a classifier, as far as its table needs it: every image one patient."""
    (folder / "model").mkdir(parents=True)
    save_file({"weight": np.zeros((3, 5), np.float32)}, folder / "model" / "model.safetensors")
    (folder / "history.json").write_text(json.dumps([{"seconds": 2.0}, {"seconds": 4.0}]))
    with open(folder / "per_image.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "patient_id", "refused", "probability_mass", "label_mass"])
        for i, (p, y) in enumerate(zip(probabilities, labels, strict=True)):
            writer.writerow([source, str(i), int(p == ""), "" if p == "not assessed" else p, y])
        writer.writerow(["children", "x", 0, 0.5, ""])  # not labelled there
    return folder


def said_in(folders, group=None, **counted):
    runs = [Run(folder, [], number, group) for number, folder in enumerate(folders)]
    return read_said("classification", "it", runs, **counted)["it"]


def figures_of(said, first):
    return summarise("classification", said, {"first": first})


def test_findings_are_compared_by_their_auc(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    good = [write_run(tmp_path / f"good{i}", labels + rng.normal(0, 0.6, 80), labels) for i in range(2)]
    poor = [write_run(tmp_path / f"poor{i}", labels + rng.normal(0, 2.0, 80), labels) for i in range(2)]
    good, poor = said_in(good), said_in(poor)
    about = {"runs": 2, "parameters": 15}
    table = {"good": about | figures_of(good, good), "poor": about | figures_of(poor, good)}
    assert list(table["good"]["sources"]) == ["adults"]
    first, other = (row["sources"]["adults"] for row in table.values())
    assert first["images"] == 80 and first["findings"] == ["mass"]
    assert first["auc_mass"] == first["auc"]
    assert first["auc_difference"] == {"value": 0, "interval": [0, 0]}
    assert other["auc_difference"]["value"] == pytest.approx(other["auc"]["value"] - first["auc"]["value"])
    assert other["auc_difference"]["interval"][1] < 0
    lines = findings_table(table)
    assert "adults: ROC AUC, mass, n = 80" in lines[0]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| good", "| poor"]
    assert f"{other['auc']['value']:.3f} (" in lines[3]


def test_the_mean_is_taken_over_findings_and_unknown_labels_do_not_count():
    labels = np.array([[0, 0], [1, np.nan], [0, 1], [1, 0]])
    said = np.array([[0.1, 0.9], [0.9, 0.5], [0.2, 0.1], [0.8, 0.2]])
    figures = mean_auc(["mass", "edema"], labels, np.zeros(4), np.stack([said, 1 - said], axis=2))
    assert figures == {"auc": 0.5, "auc_difference": 0.0, "auc_mass": 1.0, "auc_edema": 0.0}
    assert mean_auc(["mass", "edema"], labels[:2], np.zeros(2), np.stack([said, said], axis=2)[:2]) is None


def test_a_refused_image_counts_as_without_finding(tmp_path):
    run = write_run(tmp_path / "run", [0.2, "", 0.6, ""], [0, 0, 1, 1])
    figures = figures_of(said_in([run]), said_in([run]))["sources"]["adults"]
    assert figures["auc"]["value"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_a_finding_that_was_not_assessed_has_no_probability_of_0(tmp_path):
    """Neither model is scored on an image that one of them does not assess; a refused one is scored as 0."""
    labels = [0, 0, 1, 1, 1]
    run = write_run(tmp_path / "run", [0.2, 0.4, 0.6, 0.7, 0.1], labels)
    other = write_run(tmp_path / "other", [0.2, 0.4, 0.6, 0.7, "not assessed"], labels)
    for folders, first in (([run], [other]), ([other], [run])):
        figures = figures_of(said_in(folders), said_in(first))["sources"]["adults"]
        assert figures["auc"]["value"] == 1 and figures["auc_difference"]["value"] == 0


def write_left_out(folder, noise):
    """A run that left `elm` and `oak` out; in one of oak's two sources class and device go together."""
    write_run(folder, [], [])
    rng, rows = np.random.default_rng(0), []
    places = (("own", "ash", "yes"), ("elm", "elm", "no"), ("oak", "oak", "no"), ("x", "oak", "no"))
    for source, hospital, home in places:
        for patient in range(60):
            label = patient % 2
            rows.append(
                {"source": source, "hospital": hospital, "home": home, "age": "adult"}
                | {"confounded": "yes" if source == "x" else "no"}
                | {"patient_id": str(patient), "file_name": f"{patient}.png", "label_mass": label}
                | {"logit_mass": label + noise * rng.normal(), "label_gout": int(patient < 3), "logit_gout": 0.0}
            )
    write_csv(folder / "left_out.csv", rows)
    return folder


def test_variants_are_compared_in_hospitals_left_out(tmp_path):
    """A column for home, each hospital left out, and all of them; of what too few have, and the confounded, nothing."""
    good, poor = (
        said_in([write_left_out(tmp_path / name, noise)], "elm+oak") for name, noise in (("good", 0.5), ("poor", 4.0))
    )
    about = {"runs": 1, "parameters": 15}
    table = {name: about | figures_of(said, good) for name, said in (("good", good), ("poor", poor))}
    assert list(table["good"]["sources"]) == ["home", "elm", "all left out", "oak"]
    assert table["good"]["sources"]["oak"]["images"] == 60 and table["good"]["sources"]["oak"]["findings"] == ["mass"]
    assert table["good"]["sources"]["home"]["findings"] == ["elm+oak: own, mass"]
    away = table["poor"]["sources"]["all left out"]
    assert away["findings"] == ["elm, mass", "oak, mass"] and away["auc_difference"]["interval"][1] < 0
    by_hospital = [table["poor"]["sources"][name]["auc"]["value"] for name in ("elm", "oak")]
    assert away["auc"]["value"] == pytest.approx(np.mean(by_hospital))
    assert mean_of_sources(table["good"]) > mean_of_sources(table["poor"])
    for row in table.values():
        for figures in row["sources"].values():
            figures["single_difference"] = figures["auc_difference"]
    assert "against poor, the best single network" in findings_table(table, "poor")[0]


def test_which_of_two_rivals_it_is_is_asked_across_hospitals_that_one_run_left_out(tmp_path):
    """Elm has the one, oak the other; what ranks them is the difference of the logits, upright and tilted.

    Fir's children have the other, too, and look like the one: nobody of their age has it, so they are not asked.
    """
    rows = []
    for hospital, home in (("elm", "no"), ("oak", "no"), ("fir", "no"), ("ash", "yes")):
        for patient in range(20):
            mass = int(hospital == "elm")
            row = {"source": hospital, "hospital": hospital, "home": home, "confounded": "yes" if mass else "no"}
            row |= {
                "age": "child" if hospital == "fir" else "adult",
                "patient_id": str(patient),
                "file_name": f"{patient}.png",
                "label_mass": mass,
                "label_gout": 1 - mass,
            }
            alike = mass + 2 * (hospital == "fir")
            rows.append(
                row | {"logit_mass": 5 + patient + alike, "logit_gout": 5 + patient, "label_other": patient % 2}
            )
    folder = write_run(tmp_path / "run", [], [])
    write_csv(folder / "left_out.csv", [row | {"logit_other": 0.0} for row in rows])
    write_csv(folder / "tilted.csv", [row | {"tilt": tilt, "logit_other": 0.0} for tilt in (0, 20) for row in rows])
    rivals = {"mass": ["gout"], "gout": ["mass"]}
    said = said_in([folder], "elm+oak", findings=["mass", "gout"], rivals=rivals)
    figures = figures_of(said, said)
    assert list(figures["sources"]) == ["gout or mass, elm+oak", "all left out"]
    which = figures["sources"]["gout or mass, elm+oak"]
    assert which["images"] == 40 and which["auc"]["value"] == 1.0  # by its own logit each would be near a half
    assert list(figures["tilted"]) == ["0°", "20°"] and figures["tilted"]["20°"]["auc"]["value"] == 1.0
    both = mean_said([said, said])
    assert figures_of(both, said)["sources"]["all left out"]["auc_difference"]["value"] == 0
    assert "20°" in "\n".join(findings_table({"it": {"runs": 1, "parameters": 15} | figures}))


def test_what_a_step_is_worth_is_its_difference_to_the_variant_without_it(tmp_path):
    good, poor = (said_in([write_left_out(tmp_path / n, noise)], "elm+oak") for n, noise in (("a", 0.5), ("b", 4.0)))
    lines = what_helps_table({"A good network": figures_of(good, poor), "The same": figures_of(good, good)})
    assert lines[0].startswith("| step | all left out: gain in ROC AUC, n = 120 | home: gain")
    assert lines[2].startswith("| A good network | 0.") and lines[3].startswith("| The same | 0.000 (0.000–0.000)")


def test_the_cost_of_an_answer_is_that_of_its_parts():
    model = tiny_model(concatenation="crop")
    cost, without = measure_cost(model), measure_cost(tiny_model(concatenation="none"))
    assert 0 < cost["share_of_peak"] < 1.5 and cost["milliseconds"] > 0
    assert cost["lungs_milliseconds"] > 0 == without["lungs_milliseconds"]
    costs = [cost | {"seconds_per_epoch": 1.0, "parameters": 5}] * 2
    both = sum_of_costs(costs)
    assert both["milliseconds"] == 2 * cost["milliseconds"] and both["lungs_milliseconds"] == cost["lungs_milliseconds"]
    assert both["share_of_peak"] == pytest.approx(cost["share_of_peak"]) and both["parameters"] == 10


def test_a_grid_is_not_dropped_where_hospitals_are_left_out(tmp_path):
    grid = {"folds": [0], "seeds": [0, 1], "variants": {"fused": [], "alone": ["epochs=2"]}}
    runs = plan(RECIPES / "findings.yaml", grid, [], tmp_path, ["shenzhen+hannover", "guangzhou"])
    assert list(runs) == ["fused", "alone"] and [run.number for run in runs["alone"]] == [0, 0, 1, 1]
    assert "left_out=[shenzhen, hannover]" in runs["alone"][0].overrides and "epochs=2" in runs["alone"][0].overrides
    assert runs["alone"][0].folder == tmp_path / "alone" / "without_shenzhen_hannover-fold0-seed0"


def test_a_second_call_trains_only_what_is_not_finished(compared, capsys):
    model = compared / "compared" / "as_it_is" / "fold0-seed0" / "model" / "model.safetensors"
    trained = model.stat().st_mtime_ns
    cut_off = compared / "compared" / "as_it_is" / "fold0-seed1"
    before = (cut_off / "robustness.json").read_text()
    (cut_off / "README.md").unlink()
    compare_variants(compared, GRID)
    said = "".join(capsys.readouterr())
    assert said.count("is finished.") == 3
    assert "Resuming after epoch 1" in said
    assert (cut_off / "robustness.json").read_text() == before
    assert model.stat().st_mtime_ns == trained


def test_a_changed_variant_is_not_taken_for_the_old_one(compared):
    changed = GRID | {"variants": {"as_it_is": ["learning_rate=0.5"]}}
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        plan(RECIPE, changed, TINY_LUNGS, compared / "compared")


@pytest.mark.parametrize(
    ("name", "recipe", "override"),
    [("compare_lungs", "lungs_plain", "epochs=1"), ("compare_findings", "findings_short", "init_from=null")],
)
def test_grids_of_the_project_fit_their_recipes(name, recipe, override, tmp_path):
    recipe = ROOT / "train" / "recipes" / f"{recipe}.yaml"
    grid = yaml.safe_load((ROOT / "train" / "recipes" / f"{name}.yaml").read_text())
    runs = plan(recipe, grid, [override], tmp_path)
    assert len(runs) == len(grid["variants"]) >= 9
    changed = [load_recipe(recipe, run.overrides) for of_variant in runs.values() for run in of_variant]
    assert all(one != other for one, other in itertools.combinations(changed, 2))
    with pytest.raises(ValueError, match="'loses' is not in"):
        plan(recipe, grid | {"variants": {"typo": ["loses=boundary"]}}, [], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "x"], "give --recipe and --grid"),
        (["--models", "one=x"], "or --models and --dataset"),
        (["--models", "x", "--dataset", "y"], "give each of --models as NAME=DIR_OR_ID"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        compare.main([*arguments, "--output", "z"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_runs_without_the_same_hospitals_said_is_averaged(tmp_path):
    for name, logits in {"one": (1.0, 5.0), "two": (3.0, None)}.items():
        folder = tmp_path / name / "without_elm"
        folder.mkdir(parents=True)
        rows = [
            {
                "source": "elm",
                "file_name": f"{n}.png",
                "label_mass": 1,
                "logit_mass": logits[0],
                "logit_edema": logits[1],
            }
            for n in range(3 if name == "one" else 2)
        ]
        write_csv(folder / "left_out.csv", [{k: v for k, v in row.items() if v is not None} for row in rows])
        recipe = {"left_out": ["elm"], "epochs": 1, "epoch_size": 1200, "init_from": None}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    runs = read_means([tmp_path / "one", tmp_path / "two"])
    run = runs[("elm",)]
    assert run.drawn == "1,200 + 1,200"
    assert [row["logit_mass"] for row in run.rows] == [2.0, 2.0] and run.rows[0]["label_mass"] == 1
    assert all(row.get("logit_edema") is None for row in run.rows)  # the second knows nothing of it
    (tmp_path / "three").mkdir()
    with pytest.raises(ValueError, match="three has no run without elm"):
        read_means([tmp_path / "one", tmp_path / "three"])
