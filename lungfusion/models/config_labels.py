"""The findings of a configuration, by transformers' names for labels and by ours."""

LABELS = ("id2label", "label2id", "num_labels")  # how transformers names them
OF_EACH_FINDING = (  # the settings that name findings
    "thresholds",
    "rule_out_thresholds",
    "temperatures",
    "biases",
    "populations",
    "max_ood_scores",
    "min_sides",
    "operating_points",
    "hospitals",
    "reference_scores",
    "sources",
)


def names_of_labels(labels):
    """The findings that `findings`, `id2label`, `label2id` and `num_labels` name, as far as they are given.

    Returns:
        list of str, or None where nothing is given.

    Raises:
        ValueError: they name none, name one twice, are no names, or contradict each other.
    """
    findings, id2label = labels.get("findings"), labels.get("id2label")
    label2id, count = labels.get("label2id"), labels.get("num_labels")
    if id2label is not None:
        by_number = {int(number): name for number, name in id2label.items()}
        if sorted(by_number) != list(range(len(by_number))):
            raise ValueError(f"id2label numbers the findings {sorted(by_number)}: number them from 0 on.")
        id2label = [by_number[number] for number in range(len(by_number))]
    elif label2id is not None:
        return names_of_labels(labels | {"id2label": {number: name for name, number in label2id.items()}})
    if findings is not None and not isinstance(findings, list | tuple):
        raise ValueError(f"findings is {findings!r}: give a list of names.")
    names = id2label if findings is None else list(findings)
    if names is None:
        return None if count is None else [f"LABEL_{number}" for number in range(count)]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"findings is {names}: give at least one finding, each by its name.")
    if len(set(names)) != len(names):
        raise ValueError(f"findings names one twice: {', '.join(names)}.")
    numbered = {name: number for number, name in enumerate(names)}
    if id2label not in (None, names) or label2id not in (None, {}, numbered) or count not in (None, len(names)):
        raise ValueError(f"findings are {', '.join(names)}: findings, id2label, label2id and num_labels must agree.")
    return names


def with_labels(settings, changes):
    """The settings of a configuration with other labels, as `from_pretrained` is given them: what was said of other
    findings than these is left out.
    """
    names = names_of_labels(changes)
    before = names_of_labels({key: settings.get(key) for key in ("findings", *LABELS)})
    said = ("findings", *LABELS)
    if names != before:
        said += ("shown", "explained", "lesion_backbone", "lesion_findings", *OF_EACH_FINDING)
    return {key: value for key, value in settings.items() if key not in said} | {"findings": names}
