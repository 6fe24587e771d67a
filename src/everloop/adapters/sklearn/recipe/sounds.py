"""Bytes of sound files -> how loud each band of frequencies is, and how much that varies."""

from __future__ import annotations

import io
from functools import cache
from math import gcd
from typing import Any

import numpy as np

from everloop.adapters.sklearn.recipe.flow import Array, Flow
from everloop.adapters.sklearn.recipe.step import FittedStep
from everloop.core.errors import BadInput, Missing

WINDOW_S = 0.025
HOP_S = 0.010
# 100 dB below full scale: silence has no logarithm.
_FLOOR = 1e-10


class Audio(FittedStep):
    rate: int
    mels: int
    seconds: float
    libraries = ("soundfile", "scipy")

    def fit(self, flow: Flow) -> None:
        del flow
        for name in self.names:
            self.labels[f"{name}[{self.mark}]"] = [f"{name}.mel{at}.{what}" for what in ("mean", "std") for at in range(self.mels)]

    def run(self, flow: Flow) -> None:
        for name in self.names:
            out = np.full((flow.height, 2 * self.mels), np.nan)
            for row, data in enumerate(flow.blobs(name)):
                if data is None:
                    continue
                try:
                    bands = log_mel(wave(data, self.rate, self.seconds), self.rate, self.mels)
                except BadInput as error:
                    raise BadInput(f"Recipe step 'audio': row {row}, column {name!r}: {error}") from error
                out[row] = np.concatenate([bands.mean(axis=0), bands.std(axis=0)])
            flow.made[f"{name}[{self.mark}]"] = out


def wave(data: bytes, rate: int, seconds: float) -> Array:
    """The first `seconds` as one channel of `rate` samples a second, from -1 to 1. BadInput for what is no sound file, or an empty one."""
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise Missing("Audio is decoded by soundfile, which is not installed. Install it: pip install 'everloop[audio]'") from error
    from scipy.signal import resample_poly

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            own = int(file.samplerate)
            samples: Any = file.read(frames=max(1, round(seconds * own)), dtype="float64", always_2d=True)
    except Exception as error:  # libsndfile's own, and what broken headers lead to
        raise BadInput(f"{len(data)} bytes are no sound file that can be read ({type(error).__name__}: {str(error)[:100]}).") from error
    if not len(samples):
        raise BadInput("The sound file has no samples.")
    mono = samples.mean(axis=1)
    if own == rate:
        return mono
    shared = gcd(own, rate)
    return np.asarray(resample_poly(mono, rate // shared, own // shared))


def log_mel(samples: Array, rate: int, mels: int) -> Array:
    """ln of the power in each band, (frames, mels): Hann windows of 25 ms, one each 10 ms, no padding but to fill the first one."""
    window, hop = max(2, round(WINDOW_S * rate)), max(1, round(HOP_S * rate))
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop] * np.hanning(window)
    size = 1 << (window - 1).bit_length()
    power = np.abs(np.fft.rfft(frames, size, axis=1)) ** 2 / size
    return np.log(np.maximum(power @ filters(rate, size, mels).T, _FLOOR))


@cache
def filters(rate: int, size: int, mels: int) -> Array:
    """Triangles at equal distances on the mel scale, (mels, size / 2 + 1): m = 2595 log10(1 + f / 700 Hz) (O'Shaughnessy 1987; the form of HTK)."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    hertz = np.linspace(0, rate / 2, size // 2 + 1)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0.0, np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)))
