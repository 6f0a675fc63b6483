"""LungFusion reads a chest radiograph: lungs, findings, and what they rest on. Research and education only."""

from .analysis import Analysis, AnalysisWarning, Correction, Finding
from .evidence import Evidence
from .models import (
    FindingConfig,
    LungFusionConfig,
    LungFusionForImageClassification,
    LungFusionImageProcessor,
    LungUNetConfig,
    LungUNetForSemanticSegmentation,
)
from .pipeline import LungFusionPipeline
from .reading.radiograph import Radiograph, RadiographError, load_radiograph
from .scorer import Scorer

__version__ = "0.5.0"

__all__ = [
    "Analysis",
    "AnalysisWarning",
    "Correction",
    "Evidence",
    "Finding",
    "FindingConfig",
    "LungFusionConfig",
    "LungFusionForImageClassification",
    "LungFusionImageProcessor",
    "LungFusionPipeline",
    "LungUNetConfig",
    "LungUNetForSemanticSegmentation",
    "Radiograph",
    "RadiographError",
    "Scorer",
    "load_radiograph",
]
