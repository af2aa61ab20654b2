"""A picture in the form of video: luma at full size, chroma at half; converted to RGB only where it is needed.

The conversion of a frame to RGB takes longer than its decoding. Detectors and crops need parts of a few frames, and the
half picture is scaled in this form, so most pixels are never converted.
Shapes: H rows, W columns, both even; h = H / 2, w = W / 2; C = 3 colours (red, green, blue).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from foalnet.media.images import encode_bgr, rescale

Rect = tuple[int, int, int, int]

# OpenCV converts this many pixels of a row at once, and the rest one by one at a tenth of the speed.
LANES_PX = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """Planes [H, W], [h, w], [h, w] uint8 in ITU-R BT.601, studio range; even sizes (ValueError otherwise)."""

    luma_HW: np.ndarray
    blue_hw: np.ndarray
    red_hw: np.ndarray
    # The one buffer of all three planes, if there is one; its rows may be longer than those of the picture.
    planes_RW: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError if the shapes of the planes do not match."""
        height, width = self.luma_HW.shape
        half = (height // 2, width // 2)
        if height % 2 or width % 2 or self.blue_hw.shape != half or self.red_hw.shape != half:
            raise ValueError(f"planes {self.luma_HW.shape}, {self.blue_hw.shape}, {self.red_hw.shape}: not one picture")

    @classmethod
    def of_planes(cls, planes_RW: np.ndarray, width_px: int | None = None) -> Picture:
        """Return a picture over one buffer [H * 3 / 2, W] in ffmpeg's yuv420p or OpenCV's I420 layout, without a copy.

        `width_px`: width of the picture if it is less than W; the rest of each row is padding.
        """
        rows, row_px = planes_RW.shape
        height, width = rows * 2 // 3, row_px if width_px is None else width_px
        blue_hw, red_hw = planes_RW[height:].reshape(2, height // 2, row_px // 2)[:, :, : width // 2]
        return cls(planes_RW[:height, :width], blue_hw, red_hw, planes_RW)

    @property
    def height_px(self) -> int:
        """H."""
        return int(self.luma_HW.shape[0])

    @property
    def width_px(self) -> int:
        """W."""
        return int(self.luma_HW.shape[1])

    def part(self, rect: Rect) -> Picture:
        """Return left <= x < right, top <= y < bottom, all even (ValueError otherwise); a copy of a part."""
        if rect == (0, 0, self.width_px, self.height_px):
            return self
        if any(edge % 2 for edge in rect):
            raise ValueError(f"the part {rect} does not begin and end at even pixels")
        return Picture.of_planes(self._planes(rect), rect[2] - rect[0])

    def rgb(self, rect: Rect | None = None) -> np.ndarray:
        """Return the picture or a part of it (left, top, right, bottom inside the picture) as [H, W, C] uint8 RGB."""
        import cv2

        left, top, right, bottom = rect or (0, 0, self.width_px, self.height_px)
        # Two by two pixels share their chroma: convert a part with even edges and crop the result.
        out = (left - left % 2, top - top % 2, right + right % 2, bottom + bottom % 2)
        whole_HWC = cv2.cvtColor(self._planes(out), cv2.COLOR_YUV2RGB_I420)
        return whole_HWC[top - out[1] : bottom - out[1], left - out[0] : right - out[0]]

    def scaled(self, *, width_px: int, height_px: int) -> Picture:
        """Return the picture at another even size, scaled by `rescale`; the same object if the size is the same."""
        if (width_px, height_px) == (self.width_px, self.height_px):
            return self
        return Picture(
            rescale(self.luma_HW, width_px=width_px, height_px=height_px),
            *(
                rescale(plane_hw, width_px=width_px // 2, height_px=height_px // 2)
                for plane_hw in (self.blue_hw, self.red_hw)
            ),
        )

    def jpeg(self, quality: int) -> bytes:
        """Return the picture as a baseline JPEG (4:2:0): the same picture gives the same bytes."""
        import cv2

        return encode_bgr(cv2.cvtColor(self._planes(), cv2.COLOR_YUV2BGR_I420)[:, : self.width_px], quality)

    def _planes(self, rect: Rect | None = None) -> np.ndarray:
        """Return the picture, or a copy of a part with even edges, in one buffer [H * 3 / 2, W or more]."""
        if rect is None and self.planes_RW is not None:
            return self.planes_RW
        left, top, right, bottom = rect or (0, 0, self.width_px, self.height_px)
        height, width = bottom - top, right - left
        planes_RW = np.empty((height * 3 // 2, -(-width // LANES_PX) * LANES_PX), np.uint8)
        part = Picture.of_planes(planes_RW, width)
        part.luma_HW[:] = self.luma_HW[top:bottom, left:right]
        for plane_hw, source_hw in ((part.blue_hw, self.blue_hw), (part.red_hw, self.red_hw)):
            plane_hw[:] = source_hw[top // 2 : bottom // 2, left // 2 : right // 2]
        return planes_RW
