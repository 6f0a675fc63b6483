"""Read YAML as people mean it: `1e-3` is a number, and `no` a word unless a yes or no is asked for."""

import re

import yaml

FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2: no sexagesimals, no octals, no on and off, no dates."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(f"(?:{BOOL.pattern})$"), list("tTfF"))
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"(?:{INT.pattern})$"), list("-+0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def parse_yaml(text):
    return yaml.load(text, Loader)  # noqa: S506 (a safe loader, with fewer types)


def read_yaml(path):
    """Contents of a YAML file.

    Raises:
        ValueError: it is no YAML; the message says where.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
