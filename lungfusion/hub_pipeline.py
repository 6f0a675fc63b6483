"""The package's own answer from `transformers.pipeline`, by the Hub's mechanism of custom pipelines.

    radiographs = transformers.pipeline("chest-radiograph", "OWNER/NAME", trust_remote_code=True)
    radiographs("xray.dcm")["findings"]

`train.push` lays a copy of this file beside a model. It reads what `load_radiograph` reads, DICOM and 16 bits too, and
refuses what is no frontal chest radiograph; for that the package has to be installed. transformers' own
"image-classification" needs no package, but reads 8 bits and refuses nothing.
"""

from transformers import Pipeline

try:
    from lungfusion import LungFusionPipeline, load_radiograph
except ImportError as error:
    raise ImportError(
        "The task chest-radiograph reads files with the package lungfusion: install it, as the model card says. "
        'Without it there is the task "image-classification", which takes 8-bit pictures.'
    ) from error

TASK = "chest-radiograph"


class ChestRadiographPipeline(Pipeline):
    """Files, bytes, arrays or PIL images, one or many → what `Analysis.to_dict` says of each.

    A `correct` in the call is that of `LungFusionPipeline`. Whatever the `batch_size`, images are analysed one by
    one, for each is corrected in its own way.

    Raises:
        RadiographError: a source can't be read as a radiograph.
    """

    _load_processor, _load_image_processor = False, True
    _load_feature_extractor, _load_tokenizer = False, False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.analyse = LungFusionPipeline(self.model, self.image_processor)

    def _sanitize_parameters(self, correct=True):
        return {}, {"correct": correct}, {}

    def preprocess(self, source):
        return load_radiograph(source)

    def _forward(self, radiograph, correct=True):
        return self.analyse(radiograph, correct=correct)

    def postprocess(self, analysis):
        return analysis.to_dict()

    def get_iterator(self, inputs, num_workers, batch_size, *parameters):
        return super().get_iterator(inputs, num_workers, 1, *parameters)
