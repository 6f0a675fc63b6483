"""From a radiograph to the model's input, and from the model's mask back to the radiograph."""

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tvF
from transformers import BatchFeature
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import PILImageResampling

from .mask_postprocessing import keep_lungs, split_lungs

DARK, BRIGHT = 0.005, 0.995  # percentiles that become 0 and 1
MAX_WHITE = 0.5  # of a colour picture; of 8-bit radiographs less than 0.05 is, of 12 bits read as 8 more than 0.7
GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")  # of Pillow; kept at their depth


class LungFusionImageProcessor(TorchvisionBackend):
    """Grey, square, contrast stretched.

    A radiograph's grey levels have no fixed meaning: they depend on the detector and on the window it was saved with.
    So each image's own 0.5th and 99.5th percentile become 0 and 1. Images may be of any depth or range therefore:
    8 or 16 bit, or float. The sides are stretched to one length: public data sets hold images already squashed to a
    square, and what was trained on must be what is seen later.
    """

    size = {"height": 320, "width": 320}
    do_resize = True
    resample = PILImageResampling.BILINEAR
    model_input_names = ["pixel_values"]

    def __call__(self, images, segmentation_maps=None, **kwargs):
        """Prepare radiographs for the model.

        Args:
            images: one or a list of PIL images, arrays or tensors: (H, W), (H, W, 1 or 3) or (1 or 3, H, W), of any
                integer or float type, bone white.
            segmentation_maps: lung masks in the same geometry, one for each image, zero outside the lungs.
            kwargs: `size`, or `do_resize=False` for images of one size that keep it.

        Returns:
            `pixel_values` (B, 1, S, S) float32 in [0, 1]; with masks also `labels` (B, 1, S, S) float32 in [0, 1].

        Raises:
            ValueError: half of a picture is pure white, or the images differ in size and are not resized.
        """
        batch = super().__call__(images, **kwargs)
        if segmentation_maps is not None:
            masks = [(np.asarray(mask) > 0).astype(np.float32) for mask in segmentation_maps]
            side = list(batch["pixel_values"].shape[-2:])
            batch["labels"] = torch.stack([tvF.resize(torch.from_numpy(m)[None], side) for m in masks])
        return batch

    def _prepare_images_structure(self, images, expected_ndims=3):
        if getattr(images, "ndim", 0) == 4 or isinstance(images, list | tuple):
            return list(images)
        return [images]

    def process_image(self, image, **kwargs):
        if isinstance(image, Image.Image):
            image = rgb(image) if image.mode not in GREY_MODES else np.asarray(image)
        if isinstance(image, np.ndarray):  # torch takes no other order of bytes, no negative strides
            image = np.require(image, image.dtype.newbyteorder("="), ["C", "W"])
        return super().process_image(image)

    def _preprocess(self, images, size, do_resize=True, resample=None, return_tensors=None, **kwargs):
        images = [grey(image) for image in images]
        if do_resize:
            images = [self.resize(image, size, resample) for image in images]
        elif len({image.shape for image in images}) > 1:
            raise ValueError("The images differ in size: leave do_resize on, or give them one by one.")
        squares = [stretch_contrast(image) for image in images]
        return BatchFeature({"pixel_values": torch.stack(squares)}, tensor_type=return_tensors)

    def post_process_alpha(self, alpha, target_sizes):
        """From the masks that the model drew to lungs in the radiographs' geometry.

        Args:
            alpha: (B, 1, S, S) float tensor in [0, 1].
            target_sizes: one (H, W) for each image.

        Returns:
            list of (H, W) float32 tensors in [0, 1]: without specks and holes, soft at the border (see `keep_lungs`).
        """
        return self.to_original_sizes([keep_lungs(a) for a in alpha[:, 0].detach().float().cpu().numpy()], target_sizes)

    def post_process_instance_segmentation(self, outputs, threshold=0.5, mask_threshold=0.5, target_sizes=None, **_):
        """Each lung that a segmenter found, as `transformers.pipeline("image-segmentation")` asks for it.

        Args:
            outputs: `LungUNetOutput` of B images.
            threshold: the least score of a lung that is named.
            mask_threshold: the least alpha of its pixels.
            target_sizes: one (H, W) for each image; (S, S), the model's geometry, unless given.

        Returns:
            one dict for each image: `segmentation` (H, W) int64, 0 outside the lungs, and `segments_info`, a list of
            the `id`, `label_id` and `score` of the patient's right and then left lung: the mean of alpha in it.
        """
        answers = []
        for one in self.lungs(outputs, target_sizes):
            segmentation, segments = torch.zeros(one.shape, dtype=torch.int64), []
            for number, lung in enumerate(split_lungs(one.numpy() > mask_threshold), 1):
                score = float(one[lung].mean()) if lung.any() else 0.0
                if score > 0 and score >= threshold:
                    segmentation[lung] = number
                    segments.append({"id": number, "label_id": number, "score": score})
            answers.append({"segmentation": segmentation, "segments_info": segments})
        return answers

    def post_process_semantic_segmentation(self, outputs, target_sizes=None):
        """What each pixel is: (H, W) int64 for each image, numbers of the segmenter's `id2label`.

        outputs, target_sizes: as for `post_process_instance_segmentation`.
        """
        answers = self.post_process_instance_segmentation(outputs, threshold=0.0, target_sizes=target_sizes)
        return [answer["segmentation"] for answer in answers]

    def lungs(self, outputs, target_sizes=None):
        """`post_process_alpha` of a segmenter's outputs; in the model's geometry unless sizes are given."""
        alpha = outputs.logits.sigmoid()
        return self.post_process_alpha(alpha, target_sizes or [alpha.shape[-2:]] * len(alpha))

    def to_original_sizes(self, maps, target_sizes):
        """The inverse: maps in the model's geometry back to the radiographs'.

        Args:
            maps: (S, S) float32 arrays in [0, 1].
            target_sizes: one (H, W) for each of them.

        Returns:
            list of (H, W) float32 tensors in [0, 1].
        """
        maps = [torch.from_numpy(m)[None] for m in maps]
        return [tvF.resize(m, list(hw), antialias=True)[0] for m, hw in zip(maps, target_sizes, strict=True)]


def rgb(image):
    """PIL image → (H, W, 3) uint8 array.

    Raises:
        ValueError: it is white as only a file of more bits is once its lowest eight alone were kept.
    """
    pixels = np.asarray(image.convert("RGB"))
    if (pixels == 255).all(-1).mean() > MAX_WHITE:
        raise ValueError(
            "More than half of the picture is pure white, as when a 16-bit file is read with 8 bits. "
            "Give its pixels instead: numpy.asarray(PIL.Image.open(path))."
        )
    return pixels


def grey(image):
    """(1, 3 or 4, H, W) of any type → (1, H, W) float32; alpha channels are dropped, colours weighed by ITU-R 601."""
    image = image.to(torch.float32)[:3]
    return tvF.rgb_to_grayscale(image) if len(image) == 3 else image[:1]


def stretch_contrast(image):
    """The 0.5th percentile → 0, the 99.5th → 1, what lies beyond is clipped. A single shade of grey → 0."""
    low, high = np.quantile(image.float().cpu().numpy(), (DARK, BRIGHT))  # torch's sorts all of it
    return ((image - float(low)) / max(float(high - low), 1e-6)).clamp(0, 1)


__all__ = ["LungFusionImageProcessor"]
