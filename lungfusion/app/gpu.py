"""The GPU that Hugging Face lends a Space for seconds at a time (ZeroGPU)."""

import os

try:
    import spaces
except ImportError:
    spaces = None

GPU_SECONDS = 20  # what one analysis may take of a lent GPU


def on_gpu(function):
    """Run it where Spaces lends GPUs; elsewhere the function itself."""
    return spaces.GPU(duration=GPU_SECONDS)(function) if spaces and "SPACE_ID" in os.environ else function
