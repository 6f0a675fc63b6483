"""What is said, in the reader's language. A translation is one file: translations/LANGUAGE.json, key → sentence."""

import json
from importlib.resources import files

from ...evidence import HELD_BACK

FOLDER = files("lungfusion.app.view") / "translations"


class Words:
    """The sentences of one language.

    Called with a key and its values, gives the sentence. Findings that no sentence is written for are called by their
    names in the checkpoint.
    """

    def __init__(self, language, sentences):
        self.language = language
        self.sentences = sentences

    def __call__(self, key, **values):
        return self.sentences[key].format(**values)

    def finding(self, name):
        """A finding's name within a sentence: what is seen of it, not what a laboratory would prove."""
        return self.sentences.get(f"finding_{name}", name.replace("_", " "))

    def title(self, name):
        """The same as a heading."""
        return self.finding(name)[:1].upper() + self.finding(name)[1:]

    def meaning(self, name):
        """What a finding is, in a sentence; empty where none is written."""
        return self.sentences.get(f"meaning_{name}", "")

    def hospital(self, name):
        """A hospital as a label; with `held_back` after its name, of its patients who were held back from training."""
        if name.endswith(HELD_BACK):
            return self("held_back", place=self.hospital(name.removesuffix(HELD_BACK)))
        return self.sentences.get(f"hospital_{name}", name.replace("_", " ").title())

    def place(self, name):
        """A hospital as a label within a sentence: its patients held back from training are its patients."""
        return self.hospital(name.removesuffix(HELD_BACK))

    def error(self, error):
        """A `RadiographError` in a sentence, after the name of its source; English where no translation is written."""
        key = f"error_{error.code}"
        if key not in self.sentences:
            return f"{error}."
        sentence = self(key, **error.values)
        return f"{error.name}: {sentence}" if error.name else sentence

    def warning(self, warning):
        """An `AnalysisWarning` in a sentence."""
        return self.sentences.get(f"warning_{warning.code}", warning.sentence)

    def listed(self, names):
        """One, two and three: findings as in a sentence."""
        return self.joined([self.finding(name) for name in names])

    def joined(self, phrases):
        """One, two and three."""
        *most, last = phrases
        return self("and", first=self("comma").join(most), last=last) if most else last


def read(language):
    return Words(language, json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8")))


LANGUAGES = {name: read(name) for name in sorted(file.name.removesuffix(".json") for file in FOLDER.iterdir())}


def words_for(accept_language):
    """The `Words` that suit an Accept-Language header (RFC 9110, 12.5.4) best; English if none does, or without one."""
    wishes = []
    for wish in (accept_language or "").split(","):
        tag, _, quality = wish.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), len(wishes), tag.lower().split("-")[0]))
        except ValueError:
            continue
    return next((LANGUAGES[language] for _, _, language in sorted(wishes) if language in LANGUAGES), LANGUAGES["en"])
