"""Join trained classifiers into one: python -m train.join runs/A/model runs/B/model --output runs/joined

Their branches stand side by side, their features are fused by concatenation, and each logit is the mean of theirs. They
draw lungs with the first one's segmenter and are to have learned the same findings. What is written can be scored,
trained on and published as any other model; thresholds are to be fitted anew.
"""

import torch

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification, LungFusionImageProcessor
from train.engine.arguments import command_line
from train.engine.loop import save_model
from train.engine.weights import load_classifier

SHARED = ("image_size", "branch_size", "concatenation", "problem_type", "dropout")  # settings that must agree


def main(arguments=None):
    parser = command_line(__doc__, "output")
    parser.add_argument("models", nargs="+", metavar="DIR_OR_ID", help="trained classifiers, two or more")
    arguments = parser.parse_args(arguments)
    try:
        model = joined([load_classifier(place) for place in arguments.models])
    except ValueError as error:
        parser.error(str(error))
    side = model.config.image_size
    save_model(model, LungFusionImageProcessor(size={"height": side, "width": side}), arguments.output)


@torch.no_grad()
def joined(models):
    """One classifier of several, on the CPU, in evaluation mode.

    Its hidden layer is theirs side by side, each connected to its own branches alone, so that its logits, not
    calibrated, are the mean of theirs.

    Args:
        models: list of `LungFusionForImageClassification` with concatenated features.

    Raises:
        ValueError: they do not fit together; the sentence says in what.
    """
    configs = [model.config for model in models]
    check_alike(configs)
    first = configs[0]
    config = LungFusionConfig(
        segmenter=first.segmenter.to_dict(),
        branches=[name for config in configs for name in config.branches],
        branch_inputs=[name for config in configs for name in config.inputs],
        fusion_size=sum(config.fusion_size for config in configs),
        findings=list(first.findings),
        **{name: getattr(first, name) for name in SHARED},
    )
    whole = LungFusionForImageClassification(config).eval()
    whole.segmenter.load_state_dict(models[0].segmenter.state_dict())
    branches = [branch for model in models for branch in model.branches]
    for own, other in zip(whole.branches, branches, strict=True):
        own.load_state_dict(other.state_dict())
    hidden, last = ([model.classifier[layer] for model in models] for layer in (1, 4))
    whole.classifier[1].weight.copy_(torch.block_diag(*[layer.weight for layer in hidden]))
    whole.classifier[1].bias.copy_(torch.cat([layer.bias for layer in hidden]))
    whole.classifier[4].weight.copy_(torch.cat([layer.weight for layer in last], dim=1) / len(last))
    whole.classifier[4].bias.copy_(torch.stack([layer.bias for layer in last]).mean(0))
    return whole


def check_alike(configs):
    if len(configs) < 2:
        raise ValueError("There is one model: give two or more to join.")
    for name in ("fusion", *SHARED):
        values = [getattr(config, name) for config in configs]
        if name == "fusion" and set(values) != {"concat"}:
            raise ValueError(f"Their fusion is {', '.join(values)}: only features that stand side by side are joined.")
        if len(set(values)) > 1:
            raise ValueError(f"Their {name} differs: {', '.join(map(str, values))}.")
    if any(list(config.findings) != list(configs[0].findings) for config in configs):
        raise ValueError("They name other findings, or in another order: train them with the same list.")


if __name__ == "__main__":
    main()
