"""What is drawn for a case of audio: a container, its encoding, its name, and the route that it takes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soundfile

RATE, SECONDS = 32_000, 1.5
EXACT = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32",
         "DWVW_16", "DWVW_24")  # fmt: skip
PERCEPTUAL = ("VORBIS", "OPUS", "MPEG_LAYER_III")  # what they lose depends on the number of channels
COMMON = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
# HTK, MPC2K and SDS begin with too few fixed bytes to be told from samples: stdin takes no such file.
NAMELESS = ("HTK", "MPC2K", "SDS")
RARE = ("AVR", "IRCAM", "NIST", "PAF", "PVF", "SVX", "VOC", "MPC2K", "SDS", "WVE", "HTK")
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 37_800, 44_056, 44_100, 47_952, 48_000,
         50_000, 64_000, 88_200, 96_000, 176_400, 192_000)  # fmt: skip
SUFFIX = {"WAVEX": "wav", "RF64": "rf64", "AIFF": "aiff", "NIST": "sph", "IRCAM": "sf", "MPC2K": "mpc"}
STEMS = (b"plain", b"with space", b"\xe9t\xe9 \xff", b"new\nline", b"x" * 200, "ü 音 🎧".encode(), b"a.b..c",
         b"100% {0} $HOME *?[1]", b"back\\slash", b"'quote\"", b"tab\there", b" lead", b"-dash",
         b"e\xcc\x81")  # fmt: skip
RAW_FORMATS = {"PCM_U8": "u8", "PCM_16": "s16", "PCM_24": "s24", "PCM_32": "s32", "FLOAT": "f32",
               "DOUBLE": "f64", "ULAW": "mulaw", "ALAW": "alaw"}  # fmt: skip
ROUTES = ("array", "command", "folder", "source", "pipe", "redirect", "training")
PIPED = ("WAV", "WAVEX", "RF64", "RAW")  # little-endian PCM; others need seeking


@dataclass(frozen=True)
class Variant:
    """All that is drawn for a case; the bytes follow from it.

    Attributes:
        seed: of everything random.
        base: which of the base sounds.
        endian: ``FILE``, or ``BIG`` or ``LITTLE`` where the container has both.
        more_chunks: whether metadata is added.
        is_unfinished: whether the lengths in the header are left open.
        suffix: of the file's name, with its dot.
        links: symbolic links on the way to the file.
    """

    seed: int
    base: int
    container: str
    subtype: str
    channels: int
    rate: int
    endian: str
    more_chunks: bool
    is_unfinished: bool
    stem: bytes
    suffix: str
    links: int
    route: str

    @property
    def loss(self) -> str:
        """``exact``, ``resampled`` or ``lossy``."""
        if self.subtype not in EXACT or self.rate < RATE:
            return "lossy"
        return "exact" if self.rate == RATE else "resampled"

    @property
    def needs_seeking(self) -> bool:
        return (
            self.container not in PIPED
            or self.endian == "BIG"
            or (self.container != "RAW" and self.subtype not in RAW_FORMATS)
        )


def draw(seed: int, bases: int) -> Variant:
    """The variant of a seed: combinations that libsndfile cannot write are drawn again."""
    rng = np.random.default_rng((15, seed))
    while True:
        variant = _draw(rng, seed, bases)
        if writable(variant.container, variant.subtype, variant.channels, variant.rate, variant.endian):
            return variant


def _draw(rng: np.random.Generator, seed: int, bases: int) -> Variant:
    def pick(values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    route = pick(ROUTES)
    piped = route == "pipe"
    container = pick(PIPED if piped and rng.random() < 0.9 else COMMON if rng.random() < 0.8 else RARE)
    if container in NAMELESS and route in ("pipe", "redirect"):
        route = "source"
    subtypes = RAW_FORMATS if container == "RAW" else soundfile.available_subtypes(container)
    exact = [name for name in subtypes if name in EXACT]
    subtype = pick(exact if exact and rng.random() < 0.6 else list(subtypes))
    if route == "array" and (container == "PAF" or subtype.startswith("DWVW")):
        route = "source"  # soundfile by itself mixes channels of PAF up and cannot seek in DWVW
    suffix = "." + SUFFIX.get(container, container.lower())
    if route != "folder":
        suffix = pick([suffix, suffix, suffix.upper(), "", ".wav", ".raw", ".bin"])
    elif rng.random() < 0.5:
        suffix = suffix.upper()
    more, links = bool(rng.random() < 0.5), int(pick([0, 0, 1, 2]))
    endian = "LITTLE" if container == "RAW" else pick(["FILE", "FILE", "BIG", "LITTLE"])
    open_end = bool(rng.random() < 0.25)
    if route == "array":  # somebody else's decoder, who need not read such headers
        more, open_end = False, False
    return Variant(
        seed, int(rng.integers(bases)), container, subtype, int(pick([1, 1, 2, 2, 3, 4, 5, 6, 7, 8])),
        RATE if rng.random() < 0.4 else pick(RATES), endian,
        more, open_end, pick(STEMS), suffix, links, route,
    )  # fmt: skip


@cache
def writable(container: str, subtype: str, channels: int, rate: int, endian: str) -> bool:
    try:
        data = encode(np.zeros(int(rate * 0.1)), container, subtype, channels, rate, endian)
        if container == "RAW":
            return True
        info = soundfile.info(io.BytesIO(data))
    except (soundfile.SoundFileError, ValueError, TypeError, AssertionError):
        return False
    return bool(info.samplerate == rate and info.channels == channels)  # some containers round the rate


def encode(wave: np.ndarray, container: str, subtype: str, channels: int, rate: int, endian: str) -> bytes:
    """Bytes of a file with equal channels; libsndfile takes integers as they are."""
    samples: np.ndarray = wave
    if subtype not in ("FLOAT", "DOUBLE", *PERCEPTUAL):
        samples = np.clip(np.rint(wave * 2.0**31), -(2.0**31), 2.0**31 - 1).astype(np.int32)
    file = io.BytesIO()
    many = np.repeat(samples[:, None], channels, axis=1)
    soundfile.write(file, many, rate, format=container, subtype=subtype, endian=endian)
    return file.getvalue()
