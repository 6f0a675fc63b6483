"""What was measured of a checkpoint's findings, hospital by hospital: evidence.json, beside config.json.

None of it changes an answer; all of it is needed to know what an answer is worth.
"""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from .loading import checkpoint_of

EVIDENCE = "evidence.json"
GROUPS = ("healthy", "otherwise_ill", "ill")  # whom scores are of
HELD_BACK = "_held_back"  # after the name of a hospital that was learned from, but not from these patients
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """A share of n, or an AUC over n images, in [0, 1], with its 95 % interval from `low` to `high`."""

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self):
        if not all(is_share(number) for number in (self.value, self.low, self.high)):
            raise ValueError(f"{self.value}, {self.low} to {self.high} is no share: give numbers from 0 to 1.")
        if not isinstance(self.n, int) or isinstance(self.n, bool) or self.n < 1:
            raise ValueError(f"n is {self.n!r}: give how many were counted, a whole number above 0.")

    @classmethod
    def of(cls, count, n):
        """`count` of `n`, with the interval of Wilson 1927."""
        from scipy.stats import binomtest  # here, because it takes a while and only those who measure need it

        interval = binomtest(int(count), int(n)).proportion_ci(CONFIDENCE, method="wilson")
        return cls(int(count) / int(n), float(interval.low), float(interval.high), int(n))


def is_share(number):
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 1


@dataclass(frozen=True)
class Place:
    """One finding in one hospital, said by a model that never saw the hospital, or by this one of patients of it who
    were held back from training (`HELD_BACK` after its name); None where it was not measured.

    Attributes:
        found: of its ill, who reach the threshold.
        called_healthy: of its people with nothing, who reach it.
        called_otherwise_ill: of those ill with something else, who reach it.
        auc_healthy, auc_otherwise_ill: the area under the ROC curve, of its ill against those people.
        scores: group (of `GROUPS`) → some of its people's probabilities, sorted: what an image is looked at among.
    """

    found: Share | None = None
    called_healthy: Share | None = None
    called_otherwise_ill: Share | None = None
    auc_healthy: Share | None = None
    auc_otherwise_ill: Share | None = None
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self):
        if unknown := set(self.scores) - set(GROUPS):
            raise ValueError(f"scores names {', '.join(sorted(unknown))}: choose out of {', '.join(GROUPS)}.")
        scores = {group: tuple(of_group) for group, of_group in self.scores.items()}
        if not all(is_share(score) for of_group in scores.values() for score in of_group):
            raise ValueError("scores holds probabilities: give numbers from 0 to 1.")
        object.__setattr__(self, "scores", scores)


FIGURES = tuple(one.name for one in fields(Place) if one.name != "scores")


@dataclass(frozen=True)
class FindingEvidence:
    """What one finding rests on.

    Attributes:
        sources: titles of the data it was learned from.
        home: figures on validation patients of the hospitals learned from: `sensitivity`, `specificity` and others.
        places: hospital that training left out → `Place`.
    """

    sources: tuple[str, ...] = ()
    home: dict[str, float] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "sources", tuple(self.sources))
        if not all(is_share(value) for value in self.home.values()):
            raise ValueError("home holds shares and thresholds: give numbers from 0 to 1.")

    def measured(self, figure):
        """[(hospital, `Share`)] of one of a `Place`'s figures, the worst first."""
        known = [(name, share) for name, place in self.places.items() if (share := getattr(place, figure)) is not None]
        lower_is_worse = figure == "found" or figure.startswith("auc")
        return sorted(known, key=lambda one: one[1].value, reverse=not lower_is_worse)

    def worst_false_alarms(self):
        """(hospital, `Share` of its healthy people called) where most of them are; None where not measured."""
        return next(iter(self.measured("called_healthy")), None)

    def worst_found(self):
        """(hospital, `Share` of its ill found) where fewest are; None where not measured."""
        return next(iter(self.measured("found")), None)

    def to_dict(self):
        """JSON-ready, without the scores: each figure as a list over hospitals, the worst first."""
        return {
            "sources": list(self.sources),
            "home": dict(self.home),
            **{
                figure: [{"place": name} | asdict(share) for name, share in self.measured(figure)] for figure in FIGURES
            },
        }


@dataclass(frozen=True)
class Evidence:
    """All that was measured of a checkpoint; empty where nothing was.

    Attributes:
        findings: name → `FindingEvidence`.
        anything: hospital → of its healthy people, how many are told of any finding shown.
        places: hospital → what it is, in plain words.
    """

    findings: dict[str, FindingEvidence] = field(default_factory=dict)
    anything: dict[str, Share] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name):
        """`FindingEvidence` of a finding; an empty one where nothing was measured."""
        return self.findings.get(name, FindingEvidence())

    @classmethod
    def from_pretrained(cls, name_or_path=None, revision=None):
        """Read a checkpoint's evidence.json; an empty one where it has none.

        Args:
            name_or_path: id on the Hub, or a folder, a run's too; the bundled checkpoint if None.
            revision: branch, tag or commit on the Hub.

        Raises:
            ValueError: it holds what is no evidence.
        """
        place = checkpoint_of(name_or_path)
        path = Path(place) / EVIDENCE
        if not Path(place).is_dir():
            try:
                path = Path(hf_hub_download(place, EVIDENCE, revision=revision))
            except EntryNotFoundError:  # neither there nor, where the Hub can't be reached, in the cache
                return cls()
        if not path.is_file():
            return cls()
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} cannot be used. {error}") from error

    def save_pretrained(self, folder):
        """Write evidence.json into a folder, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        text = re.sub(r"\[[-+.\de,\s]+\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), text)  # scores, on one line
        (Path(folder) / EVIDENCE).write_text(text + "\n", encoding="utf-8")

    def to_dict(self):
        """JSON-ready: what `from_dict` takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content):
        """`Evidence` of what `to_dict` gave.

        Raises:
            ValueError, TypeError, AttributeError: it is no such thing.
        """
        findings = {
            name: FindingEvidence(
                **said | {"places": {place: place_of(figures) for place, figures in said.get("places", {}).items()}}
            )
            for name, said in content.get("findings", {}).items()
        }
        anything = {place: Share(**share) for place, share in content.get("anything", {}).items()}
        return cls(findings, anything, dict(content.get("places", {})))


def place_of(figures):
    shares = {name: Share(**figures[name]) for name in FIGURES if figures.get(name) is not None}
    return Place(**figures | shares)
