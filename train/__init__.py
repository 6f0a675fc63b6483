"""Training, evaluation and publishing of LungFusion models. Run its modules: `accelerate launch -m train.segment …`."""
