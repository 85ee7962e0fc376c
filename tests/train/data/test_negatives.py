"""Negatives: clips of none of the classes, beside those of a corpus."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from runtime.errors import DataError
from train.data import ClipData, Folder, WithNegatives
from train.data.checks import examine
from train.data.datasets.textures import synthetic_texture
from train.distillation.losses import cross_entropy

RATE = 8_000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    names = [f"classes/{label}/{n}.wav" for label in ("frog", "owl") for n in range(6)]
    for name in [*names, *(f"talk/deep/{n}.wav" for n in range(9)), "talk/owl_hoot.wav"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, 0.1 * random.standard_normal(RATE), RATE)
    return root


def _corpus(sounds: Path, **options: object) -> WithNegatives:
    classes = Folder(str(sounds / "classes"), no_groups=True)
    return WithNegatives(classes, [str(sounds / "talk")], **options)  # type: ignore[arg-type]


def test_negatives_are_training_clips_without_a_class(sounds: Path) -> None:
    corpus = _corpus(sounds, exclude=["*owl*"])
    splits = corpus.splits()
    negatives = [clip for clip in splits["train"] if clip.targets == ()]
    assert len(negatives) == 9  # the file of an owl is left out
    assert all(clip.targets for split in ("val", "test") for clip in splits[split])
    assert len(corpus.read(negatives[0], RATE)) == RATE
    assert corpus.labels == ("frog", "owl")
    described = corpus.describe()["negatives"]
    assert described == {"folders": ["talk"], "exclude": ["*owl*"], "noise": 0, "textures": 0}


def test_synthetic_noise_is_reproducible_and_each_clip_another(sounds: Path) -> None:
    corpus = _corpus(sounds, noise=5)
    noise = [clip for clip in corpus.clips("train") if clip.id.startswith("synthetic noise/")]
    waves = [corpus.read(clip, RATE) for clip in noise]
    again = [_corpus(sounds, noise=5).read(clip, RATE) for clip in noise]
    for one, other in zip(waves, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({wave.tobytes() for wave in waves}) == 5
    assert all(np.sqrt(np.mean(wave**2)) == pytest.approx(0.1, rel=1e-3) for wave in waves)


def test_textures_are_reproducible_and_each_clip_another(sounds: Path) -> None:
    textures = [clip for clip in _corpus(sounds, textures=10).clips("train") if "texture" in clip.id]
    waves = [_corpus(sounds, textures=10).read(clip, RATE) for clip in textures]
    again = [_corpus(sounds, textures=10).read(clip, RATE) for clip in textures]
    for one, other in zip(waves, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({wave.tobytes() for wave in waves}) == 10
    assert all(len(wave) == 5 * RATE and np.abs(wave).max() == 2**14 for wave in waves)


@pytest.mark.parametrize("rate", [8_000, 32_000, 44_100])
def test_pulses_repeat_at_the_rate_of_rotors_and_steady_noise_does_not(rate: int) -> None:
    strength = {"pulses": [], "noise": []}
    for kind, first in (("pulses", 0), ("noise", 4)):
        for number in range(first, 60, 5):
            wave = synthetic_texture(number, rate).astype(float)
            level = np.abs(wave)[: 5 * 200 * (rate // 200)].reshape(5 * 200, -1).mean(axis=1)  # 200 a second
            spectrum = np.abs(np.fft.rfft(level - level.mean())) / level.sum()
            strength[kind].append(spectrum[25 : 40 * 5].max())  # 5 to 40 Hz
    assert np.median(strength["pulses"]) > 4 * np.median(strength["noise"])


def test_an_epoch_takes_the_share_asked_for_and_other_negatives_each_time(sounds: Path) -> None:
    data = ClipData(_corpus(sounds), batch_size=4, negative_share=0.25, sample_rate=RATE, clip_s=1.0)
    data.setup("fit")
    dataset = data.datasets["train"]
    epochs = []
    for epoch in range(6):
        windows = dataset.windows_of_epoch(np.random.default_rng(epoch))
        assert len(windows) == dataset.epoch_length == len(set(windows.tolist()))
        negative = set(windows.tolist()) & set(dataset.negatives.tolist())
        others = len(windows) - len(negative)
        assert others == len(dataset) - len(dataset.negatives)
        assert len(negative) == round(others / 3)  # a quarter of all
        epochs.append(negative)
    assert set.union(*epochs) > epochs[0]


def test_without_a_share_all_windows_are_taken_once(sounds: Path) -> None:
    data = ClipData(_corpus(sounds), sample_rate=RATE, clip_s=1.0)
    data.setup("fit")
    dataset = data.datasets["train"]
    assert sorted(dataset.windows_of_epoch(np.random.default_rng(0))) == list(range(len(dataset)))


def test_a_share_of_no_negatives_is_refused(sounds: Path) -> None:
    data = ClipData(Folder(str(sounds / "classes"), no_groups=True), negative_share=0.3, sample_rate=RATE)
    with pytest.raises(DataError, match="WithNegatives"):
        data.setup("fit")
    with pytest.raises(DataError, match=r"negative_share.* 1\.0"):
        ClipData(Folder(str(sounds / "classes"), no_groups=True), negative_share=1.0)


def test_folders_without_a_negative_or_of_one_name_are_refused(sounds: Path) -> None:
    with pytest.raises(DataError, match="talk holds no negative"):
        _corpus(sounds, exclude=["*"]).splits()
    with pytest.raises(DataError, match="same name"):
        WithNegatives(Folder(str(sounds / "classes"), no_groups=True), [str(sounds / "talk")] * 2)


def test_a_folder_that_is_missing_is_named_with_its_key(sounds: Path) -> None:
    classes = Folder(str(sounds / "classes"), no_groups=True)
    with pytest.raises(DataError, match=r"no folder .*nowhere: check data\.corpus\.folders"):
        WithNegatives(classes, [str(sounds / "nowhere")]).splits()


def test_a_folder_of_negatives_named_like_a_class_is_refused(sounds: Path) -> None:
    classes = Folder(str(sounds / "classes"), no_groups=True)
    with pytest.raises(DataError, match=r"owl/0.wav is a clip of the corpus .* another name"):
        WithNegatives(classes, [str(sounds / "classes" / "owl")]).splits()


def test_check_data_sees_the_files_of_classes_and_of_negatives(sounds: Path, tmp_path: Path) -> None:
    classes = tmp_path / "classes"
    shutil.copytree(sounds / "classes", classes)
    wave = 0.1 * np.random.default_rng(1).standard_normal(RATE)
    soundfile.write(classes / "owl" / "stereo.wav", np.stack([wave, -0.99 * wave], axis=1), RATE)
    soundfile.write(classes / "owl" / "fast.wav", np.repeat(wave, 2), 2 * RATE)
    corpus = WithNegatives(Folder(str(classes), no_groups=True), [str(sounds / "talk")], noise=2)
    found = examine(corpus, RATE).findings
    assert [text.split()[0] for text in found["channels cancel"]] == ["owl/stereo.wav"]
    assert [text.split()[0] for text in found["other sample rate"]] == ["owl/fast.wav"]


def test_a_negative_asks_for_equal_probabilities() -> None:
    target, labelled = torch.zeros(1, 4), torch.ones(1)
    logits = torch.tensor([[3.0, 0.0, -1.0, 0.5]], requires_grad=True)
    for _ in range(300):
        loss = cross_entropy(logits, target, labelled, "single_label")
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - gradient).detach().requires_grad_()
    torch.testing.assert_close(logits.softmax(1), torch.full((1, 4), 0.25), atol=1e-3, rtol=0)
    # half of a mixture is a negative: its half of the label is spread
    mixed = cross_entropy(logits.detach() * 0, torch.tensor([[0.5, 0, 0, 0]]), labelled, "single_label")
    torch.testing.assert_close(mixed, torch.tensor(4.0).log())
    # and a clip without a label has no loss
    assert cross_entropy(logits, target, torch.zeros(1), "single_label").item() == 0
