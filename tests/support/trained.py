"""Data sets of phantoms and a segmenter's run, made once for all tests of training."""

import pytest

FEW_DRAWS = ("train.scoring.metrics.ROUNDS", 50)  # of a bootstrap, whose interval is rough then


@pytest.fixture(scope="session")
def training_data(tmp_path_factory):
    """Folder of four data sets, as the recipes name them."""
    from tests.support.helpers import write_findings, write_source

    root = tmp_path_factory.mktemp("data")
    write_source(root / "shenzhen-tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=True)
    write_source(root / "kermany-pneumonia", ["normal", "bacterial_pneumonia"], "consolidation", with_mask=False)
    write_findings(root / "nih-findings", seed=100)
    write_findings(root / "nih-findings-128", seed=200)
    return root


@pytest.fixture(scope="session")
def lungs_run(training_data, tmp_path_factory):
    """Folder of a finished run of `train.segment`; it is copied by those who change it."""
    from tests.support.helpers import TINY_LUNGS
    from tests.support.launching import train_here
    from train import segment

    output = tmp_path_factory.mktemp("runs") / "lungs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*FEW_DRAWS)
        train_here(segment, "lungs_teacher.yaml", output, f"data_root={training_data}", *TINY_LUNGS)
    return output
