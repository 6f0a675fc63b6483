"""A model that answers while it may be training: in evaluation mode, and as it was afterwards."""

from functools import wraps

import torch


def answering(method):
    """A method of the pipeline whose model is in evaluation mode meanwhile, and keeps no gradients."""

    @wraps(method)
    def answer(self, *args, **kwargs):
        training = [module for module in self.model.modules() if module.training] if self.model.training else []
        if training:
            self.model.eval()
        try:
            with torch.inference_mode():
                return method(self, *args, **kwargs)
        finally:
            for module in training:
                module.training = True

    return answer
