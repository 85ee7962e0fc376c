"""What crosses the packages: a model's front end (FrontEndSpec) and its description (ModelSpec).

Both are frozen, written to JSON and read back strictly: an unknown, missing or mistyped field is an
error, because a front end that is almost the one of training gives wrong labels without an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from runtime.errors import ConfigError, ModelFileError
from runtime.strict_json import check_types, from_dict, json_key

SCHEMA = 1  # of ModelSpec; a higher one comes from a newer release
# A file from elsewhere must not make the runtime allocate all memory.
MAX_RATE, _MAX_SIZE, LONGEST_S = 768_000, 65_536, 60.0

Task = Literal["single_label", "multi_label"]


@dataclass(frozen=True)
class FrontEndSpec:
    """Waveform to log-mel, in numbers. The torch and numpy implementations are both built from it.

    The order of operations: pre-emphasis, framing, window, FFT, |.|^power, mel, log, normalise.

    Attributes:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        win_length: window length in samples; a shorter window sits in the middle of the FFT frame.
        hop_length: samples between frames.
        window: ``hann``, ``hamming`` or ``povey``, Kaldi's default: hann to the power of 0.85.
        window_periodic: periodic (DFT-even) window, torch's default; False is the symmetric one.
        center: pad ``n_fft // 2`` samples on both sides, so that frame t is centred on ``t * hop_length``.
        pad_mode: how ``center`` pads: ``reflect`` or ``constant`` (zeros).
        preemphasis: y[n] = x[n + 1] - preemphasis * x[n], one sample shorter than x; 0 switches it off.
        power: 2 for the power spectrum, 1 for the magnitude.
        n_mels: mel bands.
        f_min: lower edge of the first band, Hz.
        f_max: upper edge of the last band, Hz.
        mel_scale: ``kaldi`` (triangles linear in mel, Nyquist bin zero), ``htk`` or ``slaney``
            (triangles linear in Hz).
        mel_norm: ``slaney`` scales every band to unit area, ``none`` to unit height.
        log_offset: log(x + log_offset), natural logarithm.
        mean: subtracted after the logarithm.
        std: divided by, last.
        framing: ``stft`` as above; ``kaldi`` takes frames of ``win_length`` samples without padding,
            subtracts the mean of each, and filters it by itself (y[0] = (1 - preemphasis) * x[0]).
        log_mode: ``offset``, or ``floor``: log(max(x, log_offset)).
        clip_mean: subtract the mean of the waveform first.
        top_db: log-mels are at least the clip's greatest less this many dB of power; 0 switches it off.
        fixed_frames: cut, or pad at the end with a logarithm of 0, to this many frames before normalising; 0
            takes as many as there are.

    The fields from ``framing`` on are left out of JSON at their defaults, as releases without them wrote it.

    Example:
        >>> spec = FrontEndSpec.preset("cp_mel")
        >>> spec.frames(32000), spec.n_mels
        (64, 256)
        >>> FrontEndSpec.from_dict(spec.to_dict()) == spec
        True
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    window: Literal["hann", "hamming", "povey"]
    window_periodic: bool
    center: bool
    pad_mode: Literal["reflect", "constant"]
    preemphasis: float
    power: float
    n_mels: int
    f_min: float
    f_max: float
    mel_scale: Literal["kaldi", "htk", "slaney"]
    mel_norm: Literal["none", "slaney"]
    log_offset: float
    mean: float
    std: float
    framing: Literal["stft", "kaldi"] = field(default="stft", metadata={"optional": True})
    log_mode: Literal["offset", "floor"] = field(default="offset", metadata={"optional": True})
    clip_mean: bool = field(default=False, metadata={"optional": True})
    top_db: float = field(default=0.0, metadata={"optional": True})
    fixed_frames: int = field(default=0, metadata={"optional": True})

    def __post_init__(self) -> None:
        check_types(self)
        faults = [
            (min(self.sample_rate, self.n_fft, self.hop_length, self.n_mels) < 1, "sizes are at least 1"),
            (
                self.sample_rate > MAX_RATE or max(self.n_fft, self.n_mels, self.fixed_frames) > _MAX_SIZE,
                f"sample_rate is at most {MAX_RATE}, n_fft, n_mels and fixed_frames at most {_MAX_SIZE}",
            ),
            (not 1 <= self.win_length <= self.n_fft, "win_length lies in 1..n_fft"),
            (
                not (0 <= self.f_min < self.f_max and 2 * self.f_max <= self.sample_rate),
                "0 <= f_min < f_max <= sample_rate / 2",
            ),
            (self.power not in (1.0, 2.0), "power is 1 or 2"),
            (not 0 <= self.preemphasis < 1, "preemphasis lies in [0, 1)"),
            (self.log_offset <= 0 or self.std <= 0, "log_offset and std are positive"),
            (self.top_db < 0 or self.fixed_frames < 0, "top_db and fixed_frames are not negative"),
            (self.framing == "kaldi" and self.center, "framing kaldi has no padding (center is false)"),
        ]
        for wrong, rule in faults:
            if wrong:
                raise ConfigError(f"Front end spec breaks the rule '{rule}': {self}.")

    @property
    def pad(self) -> int:
        """Samples of padding on each side."""
        return self.n_fft // 2 if self.center else 0

    @property
    def frame_samples(self) -> int:
        """Samples that a frame covers: a window of Kaldi's framing, or the FFT."""
        return self.win_length if self.framing == "kaldi" else self.n_fft

    @property
    def framewise(self) -> bool:
        """Whether a frame follows from its own samples, so that windows of a stream can share it."""
        return not (self.clip_mean or self.top_db or self.fixed_frames)

    def filtered_samples(self, samples: int) -> int:
        """Samples left after pre-emphasis of a waveform, which is a filter of two taps without padding."""
        return samples - 1 if self.preemphasis and self.framing == "stft" else samples

    def frames(self, samples: int) -> int:
        """Log-mel frames of a waveform of ``samples`` samples.

        Raises:
            ConfigError: where the waveform is too short for one frame.
        """
        length, frame = self.filtered_samples(samples), self.frame_samples
        if length <= (self.pad if self.pad_mode == "reflect" else 0) or length + 2 * self.pad < frame:
            raise ConfigError(
                f"{samples} samples at {self.sample_rate} Hz are too short for one frame of {frame}."
            )
        return self.fixed_frames or 1 + (length + 2 * self.pad - frame) // self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """A dict of JSON values: every field, but optional ones only where they differ from their default."""
        return {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if not (f.metadata.get("optional") and getattr(self, f.name) == f.default)
        }

    @classmethod
    def from_dict(cls, values: Any) -> FrontEndSpec:
        """Read what `to_dict` wrote; strict. Raises ModelFileError."""
        return from_dict(cls, values)

    @classmethod
    def preset(cls, name: str) -> FrontEndSpec:
        """A front end of the field by name, see `PRESETS`. Raises ConfigError."""
        if name not in PRESETS:
            raise ConfigError(f"No front end is called '{name}': choose one of {', '.join(PRESETS)}.")
        return PRESETS[name]


_CP_MEL = FrontEndSpec(
    sample_rate=32_000, n_fft=4096, win_length=3072, hop_length=500,
    window="hann", window_periodic=False, center=True, pad_mode="reflect",
    preemphasis=0.97, power=2.0, n_mels=256, f_min=0.0, f_max=15_500.0, mel_scale="kaldi",
    mel_norm="none", log_offset=1e-5, mean=-4.5, std=5.0,
)  # fmt: skip

_KALDI_FLOOR = 1.1920928955078125e-07  # the smallest energy in Kaldi's fbank: float32's epsilon
_KALDI_FBANK = FrontEndSpec(
    sample_rate=16_000, n_fft=512, win_length=400, hop_length=160,
    window="hann", window_periodic=False, center=False, pad_mode="constant",
    preemphasis=0.97, power=2.0, n_mels=128, f_min=20.0, f_max=8_000.0, mel_scale="kaldi",
    mel_norm="none", log_offset=_KALDI_FLOOR, mean=0.0, std=1.0, framing="kaldi", log_mode="floor",
)  # fmt: skip

PRESETS: dict[str, FrontEndSpec] = {
    # CP-JKU's DCASE 2023 submission (Schmid et al., "CP-JKU submission to DCASE23", 2023)
    "cp_mel": _CP_MEL,
    # the same with 512 bands up to Nyquist, as TF-SepNet takes it (Cai et al., arXiv 2309.08200)
    "cp_mel_512": dataclasses.replace(_CP_MEL, n_mels=512, f_max=16_000.0),
    # cp_mel's windows, frames and width of bands, for sounds that hold nothing above: words, telephones
    "cp_mel_16k": dataclasses.replace(
        _CP_MEL, sample_rate=16_000, n_fft=2048, win_length=1536, hop_length=250, n_mels=208, f_max=7_750.0
    ),
    "cp_mel_8k": dataclasses.replace(
        _CP_MEL, sample_rate=8_000, n_fft=1024, win_length=768, hop_length=125, n_mels=160, f_max=3_875.0
    ),
    # DCASE 2024/25 Task 1 baseline: torchaudio's MelSpectrogram with its defaults
    "baseline_mel": FrontEndSpec(
        sample_rate=32_000, n_fft=4096, win_length=3072, hop_length=500,
        window="hann", window_periodic=True, center=True, pad_mode="reflect",
        preemphasis=0.0, power=2.0, n_mels=256, f_min=0.0, f_max=16_000.0, mel_scale="htk",
        mel_norm="none", log_offset=1e-5, mean=0.0, std=1.0,
    ),
    # the baselines of 2020 to 2022: dcase_util's MelExtractor on magnitudes, as easy_dcase_task1 takes it;
    # windows of 40 ms every 20 ms, and the offset is float64's epsilon
    "cnn3_mel": FrontEndSpec(
        sample_rate=44_100, n_fft=2048, win_length=1764, hop_length=882,
        window="hamming", window_periodic=True, center=True, pad_mode="reflect",
        preemphasis=0.0, power=1.0, n_mels=40, f_min=0.0, f_max=22_050.0, mel_scale="slaney",
        mel_norm="slaney", log_offset=2.0**-52, mean=0.0, std=1.0,
    ),
    # PaSST's, finer in time and coarser in frequency than cp_mel (Koutini et al., arXiv 2110.05069)
    "passt_mel": dataclasses.replace(
        _CP_MEL, n_fft=1024, win_length=800, hop_length=320, n_mels=128, f_max=15_000.0
    ),
    # passt_mel's windows and frames at lower rates, with half as many bands as cp_mel's, for words
    "passt_mel_16k": dataclasses.replace(
        _CP_MEL, sample_rate=16_000, n_fft=512, win_length=400, hop_length=160, n_mels=104, f_max=7_500.0
    ),
    "passt_mel_8k": dataclasses.replace(
        _CP_MEL, sample_rate=8_000, n_fft=256, win_length=200, hop_length=80, n_mels=80, f_max=3_750.0
    ),
    # passt_mel as CP-JKU's PaSST teachers of DCASE 2023 take it
    "passt_mel_15500": dataclasses.replace(
        _CP_MEL, n_fft=1024, win_length=800, hop_length=320, n_mels=128
    ),
    # cp_mel of their CP-ResNet teachers: 43 frames a second
    "cp_mel_hop750": dataclasses.replace(_CP_MEL, hop_length=750),
    # BEATs (Chen et al., ICML 2023): Kaldi's fbank of 16-bit integers; the energies of waveforms in [-1, 1]
    # are 2^-30 of these, which the floor and the mean make up for
    "beats_fbank": dataclasses.replace(
        _KALDI_FBANK, window="povey", log_offset=_KALDI_FLOOR * 2.0**-30,
        mean=15.41663 - 30 * math.log(2), std=2 * 6.55582,
    ),
    # AST's of AudioSet (Gong et al., Interspeech 2021): 10.24 s
    "ast_fbank": dataclasses.replace(
        _KALDI_FBANK, mean=-4.2677393, std=2 * 4.5689974, clip_mean=True, fixed_frames=1024
    ),
    # the same for words of Speech Commands
    "ast_fbank_words": dataclasses.replace(
        _KALDI_FBANK, mean=-6.845978, std=2 * 5.5654526, clip_mean=True, fixed_frames=128
    ),
    # CED (Dinkel et al., ICASSP 2024): decibels, so the natural logarithm is divided by ln(10) / 10
    "ced_mel": FrontEndSpec(
        sample_rate=16_000, n_fft=512, win_length=512, hop_length=160,
        window="hann", window_periodic=True, center=True, pad_mode="reflect",
        preemphasis=0.0, power=2.0, n_mels=64, f_min=0.0, f_max=8_000.0, mel_scale="htk",
        mel_norm="none", log_offset=1e-10, mean=0.0, std=math.log(10) / 10, log_mode="floor", top_db=120.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SelfTestVector:
    """A test input, named by formula and seed, and the logits that exact arithmetic gives for it.

    Attributes:
        formula: a key of `runtime.model.self_test.FORMULAS`, which makes the log-mel input of the network.
        seed: integer that the formula starts from.
        logits: the expected output, one number per label.
    """

    formula: str
    seed: int
    logits: tuple[float, ...]

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class ModelSpec:
    """The description of a model; JSON in ``metadata_props["model_spec"]``.

    Attributes:
        labels: class names in the order of the logits.
        frontend: how a waveform becomes the network's input.
        task: ``single_label`` (softmax) or ``multi_label`` (sigmoid).
        clip_s: length of the window that one prediction is for, seconds.
        complexity: totals of the complexity report (`complexity.report.report`).
        quantization: the scheme: ``{"scheme": "float32"}``, ``{"scheme": "fp16"}`` (weights stored as
            float16, computed in float32), or for ``int8`` also ``weight_range``,
            ``output_scale`` (one output step in logits), ``output_zero_point``, and whether there are
            ``float_statistics`` between integer layers whose roundings later layers amplify.
        temperature: logits are divided by it before softmax or sigmoid (Guo et al., ICML 2017).
        thresholds: label to the probability from which that class is reported, fitted on held-out data; a
            label without one takes the runtime's default.
        provenance: recipe, data, seed, metrics, versions, licences.
        self_test_vectors: what the runtime computes when it loads the file; ``goldens`` in JSON.
        schema: version of this table.

    Example:
        >>> spec = ModelSpec(labels=("rain", "dog"), frontend=FrontEndSpec.preset("cp_mel"))
        >>> spec.clip_samples, spec.input_shape
        (32000, (1, 1, 256, 64))
        >>> ModelSpec.from_json(spec.to_json()) == spec
        True
    """

    labels: tuple[str, ...]
    frontend: FrontEndSpec
    task: Task = "single_label"
    clip_s: float = 1.0
    complexity: dict[str, Any] = field(default_factory=dict)
    quantization: dict[str, Any] = field(default_factory=lambda: {"scheme": "float32"})
    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    self_test_vectors: tuple[SelfTestVector, ...] = field(default=(), metadata={"json_key": "goldens"})
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        check_types(self)
        faults = [
            (not self.labels, "there is at least one label"),
            (len(set(self.labels)) != len(self.labels), "labels differ from each other"),
            (not all(self.labels), "no label is empty"),
            (self.temperature <= 0, "temperature is positive"),
            (not 0 < self.clip_s <= LONGEST_S, f"clip_s lies above 0 and up to {LONGEST_S:g}"),
            (not set(self.thresholds) <= set(self.labels), "thresholds name known labels"),
            (not all(0 < p <= 1 for p in self.thresholds.values()), "thresholds lie above 0 and up to 1"),
            (
                any(len(vector.logits) != len(self.labels) for vector in self.self_test_vectors),
                "self-test vectors (goldens) have one logit per label",
            ),
        ]
        for wrong, rule in faults:
            if wrong:
                raise ModelFileError(f"The model's description breaks the rule '{rule}': export it again.")

    @cached_property
    def clip_samples(self) -> int:
        """Samples of one window at the model's sample rate."""
        return round(self.clip_s * self.frontend.sample_rate)

    @cached_property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the network's input at batch 1: [1, 1, n_mels, frames]."""
        return (1, 1, self.frontend.n_mels, self.frontend.frames(self.clip_samples))

    def to_json(self) -> str:
        """One line of JSON with sorted keys, the same for the same model."""
        values = dataclasses.asdict(self)
        values["frontend"] = self.frontend.to_dict()
        keyed = {json_key(f): values[f.name] for f in dataclasses.fields(self)}
        return json.dumps(keyed, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read what `to_json` wrote; strict.

        Raises:
            ModelFileError: where the text is not JSON, is of a newer schema, or has a field too many,
                too few or of another type.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelFileError("The model's description is not readable JSON: export it again.") from error
        if isinstance(values, dict) and isinstance(values.get("schema"), int) and values["schema"] > SCHEMA:
            raise ModelFileError(
                f"The model was written by a newer release (schema {values['schema']}, this one reads "
                f"up to {SCHEMA}): run `pip install --upgrade tinyscene`."
            )
        return from_dict(cls, values)
