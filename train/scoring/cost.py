"""What an answer of a classifier costs: milliseconds of one core, and how much of the core's peak they use."""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

ROUNDS = 9  # of which the fastest counts: the others waited for something else
PEAK_SIDE = 1024  # of the matrices whose product says what the core can do


@torch.inference_mode()
def measure_cost(model):
    """Time a classifier on one radiograph, on one thread.

    Args:
        model: `LungFusionForImageClassification` on the CPU.

    Returns:
        dict: `lungs_milliseconds`, to draw the lungs, 0 where nothing of them is used; `milliseconds`, for all after
        that; `share_of_peak`, of these: floating point operations a second, over those of a product of two matrices.
    """
    threads, config = torch.get_num_threads(), model.config
    torch.set_num_threads(1)
    try:
        model = model.eval().to(memory_format=torch.channels_last)
        image = torch.rand(1, 1, config.image_size, config.image_size)
        alpha = model.segmenter(image).logits.sigmoid()
        uses_lungs = config.concatenation != "none"
        with FlopCounterMode(display=False) as counter:
            model(image, alpha=alpha)
        seconds = fastest(lambda: model(image, alpha=alpha))
        one = torch.rand(PEAK_SIDE, PEAK_SIDE)
        peak = 2 * PEAK_SIDE**3 / fastest(lambda: one @ one)
        return {
            "lungs_milliseconds": 1000 * fastest(lambda: model.segmenter(image)) if uses_lungs else 0.0,
            "milliseconds": 1000 * seconds,
            "share_of_peak": counter.get_total_flops() / seconds / peak,
        }
    finally:
        torch.set_num_threads(threads)


def fastest(step):
    """Seconds of the fastest of `ROUNDS` calls."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return min(times)
