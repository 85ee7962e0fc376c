"""The front end of a folder of sounds, by the rate of its files and the length of its sounds."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.spec import FrontEndSpec

# The widest range of frequencies first. Many narrow bands: for scenes, rain, engines.
NARROW = ("cp_mel", "cp_mel_16k", "cp_mel_8k")
# Half as many bands for the same range. The last convolution of CP-Mobile sees 119 bands: three quarters of
# those of cp_mel_8k, all of passt_mel_8k. Speakers differ in where the resonances of their words lie, and of
# speakers that were held out, two to three times as many words were right with half as many bands, whether
# windows were long or short (export/README.md).
WIDE = ("passt_mel", "passt_mel_16k", "passt_mel_8k")
WINDOW_S = 1.0  # of the network
BRIEF_S = 0.7  # of a sound: no longer than a word; not tuned


@dataclass(frozen=True)
class Files:
    """What the files of a folder have in common.

    Attributes:
        rate: that nine of ten have or exceed, Hz.
        median_s: length of a file.
        sound_s: median length of what sounds in a file; None where files are long enough for several sounds.
    """

    rate: int
    median_s: float
    sound_s: float | None = None

    @property
    def short(self) -> bool:
        """Whether most files are shorter than a window of the network."""
        return self.median_s < WINDOW_S

    @property
    def brief(self) -> bool:
        """Whether most sounds are over before a window is, as words and knocks are."""
        return self.sound_s is not None and self.sound_s < BRIEF_S


def choose_frontend(given: str | None, files: Files) -> str:
    """The front end that was given, or the first of `WIDE` or `NARROW` whose range the sounds fill.

    A network whose upper bands were always empty would meet them filled at a microphone of a higher rate.

    Args:
        given: by the user.
        files: the sounds.

    Raises:
        ConfigError: for an unknown one.
    """
    if given is not None:
        FrontEndSpec.preset(given)
        return given
    names = WIDE if files.brief else NARROW
    filled = (name for name in names if 2 * FrontEndSpec.preset(name).f_max <= files.rate)
    return next(filled, names[-1])
