"""``jt.fft``: Fourier transforms, under the Array API standard's names. ``jitrench_core.ops.fourier`` holds the ops."""

from typing import TYPE_CHECKING

from .ops.fourier import (
    fft,
    fftfreq,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfftn,
    rfft,
    rfftfreq,
    rfftn,
)

if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        from .spellings import missing

        raise missing(__name__, name)


__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]
