"""The data sets that are known: recipes/sources.yaml, each once, with its terms and its label space."""

from functools import cache
from pathlib import Path

from train.engine.yaml12 import read_yaml

SOURCES = Path(__file__).parents[1] / "recipes" / "sources.yaml"
KEYS = {  # of a source, there and in a recipe
    *("base", "dataset", "hub_id", "title", "hospital", "population", "age", "about", "citation", "licence"),
    *("hub_licence", "link", "redistributable", "confounded", "labels", "findings", "always_absent", "readers"),
    *("unused_labels", "images", "share"),
}


@cache
def known_sources():
    """Name → source, as sources.yaml has them, `base` carried out. Not to be altered."""
    written = read_yaml(SOURCES)
    return {name: with_base(source, written) for name, source in written.items()}


def with_base(source, others):
    base = source.get("base")
    own = {key: value for key, value in source.items() if key != "base"}
    return with_base(others[base], others) | own if base else own


def find_source(place):
    """The known source that a name, a folder or an id on the Hub stands for; {} where it is none of them."""
    known, last = known_sources(), Path(str(place)).name
    if last in known:
        return known[last]
    return next(
        (source for source in known.values() if last == source["dataset"] or str(place) == source.get("hub_id")), {}
    )


def resolve_sources(written):
    """Sources as a recipe may write them → name → source with every key the commands read.

    Args:
        written: list of names of sources.yaml, or name → null (left out), {} or what differs from sources.yaml there.
            A name that is not there is a data set of one's own, of which `dataset` is enough.

    Raises:
        ValueError: a name is not known and has no `dataset`, or a key means nothing.
    """
    if isinstance(written, list):
        written = {name: {} for name in written}
    return {name: resolve_source(name, own) for name, own in (written or {}).items() if own is not None}


def resolve_source(name, own):
    known = known_sources()
    if not isinstance(own, dict):
        raise ValueError(f"Source {name!r} is {own!r}: write null to leave it out, or a mapping.")
    if unknown := sorted(own.keys() - KEYS):
        raise ValueError(f"Source {name!r} has a key {unknown[0]!r}; those there are: {', '.join(sorted(KEYS))}.")
    if name in known or "base" in own:
        if own.get("base", name) not in known:
            raise ValueError(f"Source {name!r} is based on {own['base']!r}: sources.yaml has {', '.join(known)}.")
        return with_base({"base": name} | own, known)
    if "dataset" not in own:
        raise ValueError(
            f"Source {name!r} is not in sources.yaml, which has {', '.join(known)}: "
            f"for a data set of your own write {name}: {{dataset: ITS_FOLDER}}."
        )
    title = own.get("title", own["dataset"])
    stated = {"title": title, "hospital": name, "population": "population not stated", "citation": f"{title}."}
    return stated | {"licence": "not stated"} | own
