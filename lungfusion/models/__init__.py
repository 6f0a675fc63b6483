"""The models as transformers knows them. Importing this registers them with the Auto classes.

What is saved with `save_pretrained` carries this folder's code along, so that it also loads without the package
(`trust_remote_code=True`). For that the folder is flat and imports nothing else of the package.
"""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForSemanticSegmentation,
)

from .configuration_lungfusion import FindingConfig, LungFusionConfig, LungUNetConfig, NoduleDetectorConfig
from .image_processing_lungfusion import LungFusionImageProcessor
from .modeling_lung_unet import LungUNetForSemanticSegmentation, LungUNetOutput
from .modeling_lungfusion import (
    LungFusionForImageClassification,
    LungFusionModel,
    LungFusionModelOutput,
    LungFusionOutput,
)

for config, auto_model, model in (
    (LungUNetConfig, AutoModelForSemanticSegmentation, LungUNetForSemanticSegmentation),
    (LungFusionConfig, AutoModelForImageClassification, LungFusionForImageClassification),
    (LungFusionConfig, AutoModel, LungFusionModel),
):
    AutoConfig.register(config.model_type, config, exist_ok=True)
    auto_model.register(config, model)
    AutoImageProcessor.register(
        config,
        slow_image_processor_class=None,
        fast_image_processor_class=LungFusionImageProcessor,
        exist_ok=True,
    )
    config.register_for_auto_class()
    model.register_for_auto_class(auto_model.__name__)
LungFusionImageProcessor.register_for_auto_class()

__all__ = [
    "FindingConfig",
    "LungFusionConfig",
    "LungFusionForImageClassification",
    "LungFusionImageProcessor",
    "LungFusionModel",
    "LungFusionModelOutput",
    "LungFusionOutput",
    "LungUNetConfig",
    "LungUNetForSemanticSegmentation",
    "LungUNetOutput",
    "NoduleDetectorConfig",
]
