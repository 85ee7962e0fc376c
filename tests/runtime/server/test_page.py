"""The page in a real browser, headless, whose fake microphone plays a wav file.

Screenshots are written into the folder of the environment variable PAGE_SCREENSHOTS, where it is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from runtime.classifier import Model, load_model
from tests.runtime.server.conftest import Serve, Server, start

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

RATE = 32_000
WAIT_MS = 45_000
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[[Path], Any]]:
    """Start browsers whose microphones play a file again and again."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed")

    def launch_with(wav: Path) -> Any:
        arguments = [
            "--no-sandbox",  # CI runs as root
            "--disable-gpu",  # emulated, it takes most of the time
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={wav}", "--autoplay-policy=no-user-gesture-required",
        ]  # fmt: skip
        return playwright.chromium.launch(executable_path=path, args=arguments)

    with sync_api.sync_playwright() as playwright:
        yield launch_with


def high_noise(seconds: float) -> np.ndarray:
    """Noise in the upper quarter of the bands: the tiny model calls it rain."""
    white = np.random.default_rng(1).normal(scale=0.2, size=round(seconds * RATE))
    return np.diff(white, n=4, prepend=np.zeros(4)) / 8


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "noise.wav"
    soundfile.write(path, high_noise(8), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def playing(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose own input has sound, silence and sound, and is recorded and captured."""
    here = tmp_path_factory.mktemp("playing")
    low = np.convolve(high_noise(4), np.ones(400) / 400, "same") * 60
    parts = [high_noise(3), np.zeros(2 * RATE), low, np.zeros(RATE), high_noise(120)]
    soundfile.write(here / "scene.wav", np.concatenate(parts), RATE, subtype="PCM_16")
    server = start(
        "--source", here / "scene.wav", "--model", model_path, "--record", here / "recordings",
        "--capture", here / "captures", "--sounds", here / "sounds",
    )  # fmt: skip
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(launch: Callable[[Path], Any], wav: Path) -> Iterator[Any]:
    running = launch(wav)
    yield running
    running.close()


def is_problem(said: Any) -> bool:
    """An error in the console; not that of a request which the page reports in words."""
    return said.type == "error" and "status of 422" not in said.text


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a page at a size and in a colour scheme; no error may reach its console."""
    contexts, problems = [], list[str]()

    def open_at(url: str, size: str = "desktop", scheme: str = "light", script: str | None = None) -> Any:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if is_problem(said) else None)
        if script is not None:
            page.add_init_script(script)
        page.goto(url)
        page.locator("#model option").first.wait_for(state="attached")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert problems == []


def until(page: Any, expression: str) -> None:
    """Wait for an expression; Playwright's own way is refused by the page's policy, as it calls ``eval``."""
    end = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(100)


def shows(page: Any, label: str) -> None:
    """Wait until the large label is one of a class."""
    page.locator("#now[data-state=ok] #label", has_text=label.replace("_", " ")).wait_for()


def use_microphone(page: Any) -> None:
    page.get_by_role("radio", name="Microphone").check()
    page.get_by_role("button", name="Start my microphone").click()
    page.get_by_role("button", name="Stop my microphone").wait_for()


def label_of(model: Model, path: Path) -> str:
    samples, rate = soundfile.read(path, dtype="float32")
    label = model.classify(samples, rate).label
    assert label is not None
    return label


def test_the_microphone_of_a_browser_gets_the_label_of_classify(
    open_page: Open, server: Server, model: Model, wav: Path
) -> None:
    page = open_page(server.url)
    assert "is not stored" in " ".join(page.inner_text("#microphone-note").split())
    use_microphone(page)
    shows(page, label_of(model, wav))
    assert page.inner_text("#input-name").startswith("browser ")
    page.wait_for_selector("#event-list li")
    page.get_by_role("button", name="Stop my microphone").click()
    page.get_by_role("button", name="Start my microphone").wait_for()
    assert page.inner_text("#label") == "Waiting"


def test_real_sound_gets_the_label_of_classify(
    esc10_dir: Path, serve: Serve, tmp_path: Path, launch: Callable[[Path], Any]
) -> None:
    """A clip of ESC-10 through the fake microphone, to the packaged model."""
    samples, rate = soundfile.read(sorted((esc10_dir / "audio").glob("*-A-10.ogg"))[0], dtype="float32")
    soundfile.write(tmp_path / "rain.wav", samples, rate, subtype="PCM_16")
    label = label_of(load_model(), tmp_path / "rain.wav")
    server = serve("--source", "browser")
    browser = launch(tmp_path / "rain.wav")
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(server.url)
    page.locator("#model option").first.wait_for(state="attached")
    use_microphone(page)
    shows(page, label)
    browser.close()


def test_every_browser_has_its_own_stream(open_page: Open, server: Server) -> None:
    pages = [open_page(server.url, size) for size in SIZES]
    for page in pages:
        use_microphone(page)
    names = set()
    for page in pages:
        until(page, "document.querySelector('#input-name').textContent.startsWith('browser')")
        names.add(page.inner_text("#input-name"))
    assert len(names) == 2


def test_what_was_made_for_calls_is_off(open_page: Open, server: Server) -> None:
    script = """
      const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = (asked) => { window.asked = asked; return real(asked); };
    """
    page = open_page(server.url, script=script)
    use_microphone(page)
    asked = page.evaluate("window.asked.audio")
    for name in ("echoCancellation", "noiseSuppression", "autoGainControl"):
        assert asked[name] is False
    assert "changes the sound" not in page.inner_text("#problem")


def test_without_https_the_page_says_why_there_is_no_microphone(open_page: Open, server: Server) -> None:
    script = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });"
    page = open_page(server.url, script=script)
    page.get_by_role("button", name="Start my microphone").click()
    until(page, "document.querySelector('#problem').textContent.includes('HTTPS')")
    assert page.get_by_role("button", name="Start my microphone").is_enabled()


def test_a_chosen_and_a_dropped_file_get_the_label_of_classify(
    open_page: Open, server: Server, model: Model, wav: Path
) -> None:
    page = open_page(server.url)
    page.get_by_role("radio", name="A file").check()
    page.set_input_files("#file-input", wav)
    shows(page, label_of(model, wav))
    assert page.locator("#runs-body tr").count() == 1
    page.set_input_files("#file-input", {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"no audio"})
    until(page, "document.querySelector('#problem').textContent.includes('is not audio')")
    page.evaluate(
        """async (bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
          const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true });
          document.querySelector("#file").dispatchEvent(drop);
        }""",
        list(wav.read_bytes()),
    )
    shows(page, label_of(model, wav))
    assert "dropped.wav" in page.inner_text("#detail") and page.inner_text("#problem") == ""


def test_the_machine_shows_its_events_their_sound_and_the_day(open_page: Open, playing: Server) -> None:
    page = open_page(playing.url)
    page.wait_for_selector("#event-list li button")
    page.wait_for_selector("#day-table tbody td[data-heat]")
    page.locator("#event-list li button").last.click()
    until(page, "document.querySelector('#player').currentTime > 0.2")
    states = page.evaluate("fetch('/metrics').then((r) => r.text())")
    assert 'state="no_signal"' in states
    assert page.locator("#card-fields dt").count() > 8
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text().startswith("id,start_utc,")


def test_captures_are_played_and_sorted_on_the_page(
    open_page: Open, serve: Serve, model_path: Path, tmp_path: Path
) -> None:
    captures = tmp_path / "captures"
    captures.mkdir()
    for place, kind in enumerate(("event-0.93", "miss-0.45", "event-0.88")):
        name = f"rain_20261126T230000_23170{place}-{kind}.wav"
        soundfile.write(captures / name, high_noise(2), RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "silence.wav", np.zeros(600 * RATE), RATE, subtype="PCM_16")
    server = serve("--source", tmp_path / "silence.wav", "--model", model_path, "--capture", captures,
                   "--sounds", tmp_path / "sounds")  # fmt: skip
    page = open_page(server.url, "phone")
    page.wait_for_selector("#capture-list li >> nth=2")
    assert "stored on it" in page.inner_text("#capturing-note")
    latest = page.locator("#capture-list li").first
    assert "rain" in latest.inner_text() and "event, 88 %" in latest.inner_text()
    latest.get_by_role("button", name="Play rain").click()
    until(page, "document.querySelector('#player').currentTime > 0.2")
    latest.get_by_role("combobox").select_option("hum")
    latest.get_by_role("button", name="Move").click()
    until(page, "document.querySelectorAll('#capture-list li').length === 2")
    assert page.evaluate("document.activeElement.id") == "captures-note"
    page.locator("#capture-list li").first.get_by_role("button", name="Not a class").click()
    until(page, "document.querySelectorAll('#capture-list li').length === 1")
    page.get_by_role("button", name="Delete: rain").click()
    page.get_by_role("button", name="Really delete: rain").click()
    until(page, "document.querySelector('#captures-note').textContent === 'Nothing to sort.'")
    assert not list(captures.iterdir())
    moved = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "sounds").rglob("*.wav"))
    assert moved == ["sounds/hum/hum_20261126T230000_231702.wav",
                     "sounds/not_a_class/not_a_class_20261126T230000_231701.wav"]  # fmt: skip


def test_the_page_says_when_the_server_is_gone(
    browser: Any, serve: Serve, model_path: Path, wav: Path
) -> None:
    server = serve("--source", wav, "--model", model_path)
    page = browser.new_page()
    page.goto(server.url)
    until(page, "document.querySelector('#connection').textContent === 'connected'")
    server.process.kill()
    until(page, "document.querySelector('#label').textContent === 'Not connected'")
    page.context.close()


def test_a_browser_gives_the_token_once(browser: Any, serve: Serve, model_path: Path) -> None:
    server = serve("--source", "browser", "--model", model_path, "--token", "a-long-token")
    page = browser.new_page()
    page.goto(server.url)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Open").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Token").fill("a-long-token")
    page.keyboard.press("Enter")
    page.locator("#model option").first.wait_for(state="attached")
    use_microphone(page)
    until(page, "document.querySelector('#connection').textContent === 'connected'")
    assert "token" not in page.url
    page.context.close()


def test_everything_is_reached_by_the_keyboard(
    open_page: Open, server: Server, model: Model, wav: Path
) -> None:
    page = open_page(server.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the live view"
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
    assert {"model", "microphone", "microphone-button"} <= set(seen)
    page.focus("input[name=input][value=microphone]")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#file") and not page.is_visible("#microphone")
    page.keyboard.press("ArrowLeft")
    page.focus("#microphone-button")
    page.keyboard.press("Enter")
    shows(page, label_of(model, wav))
    assert page.inner_text("#announcement") != ""  # a screen reader is told


@pytest.mark.parametrize(("name", "size", "scheme"), [
    ("desktop", "desktop", "light"), ("phone", "phone", "light"), ("dark", "desktop", "dark"),
])  # fmt: skip
def test_screenshots_show_a_whole_page(
    open_page: Open, playing: Server, name: str, size: str, scheme: str, tmp_path: Path
) -> None:
    page = open_page(playing.url, size, scheme)
    page.wait_for_selector("#now[data-state=ok]")
    page.wait_for_selector("#day-table tbody td[data-heat]")
    page.wait_for_timeout(2500)  # of picture
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    drawn = page.evaluate(
        """() => {
          const canvas = document.querySelector("#spectrum");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(data.filter((_, i) => i % 4 === 0)).size;
        }"""
    )
    assert drawn > 30  # many reds: not a blank picture
    folder = Path(os.environ.get("PAGE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert (folder / f"{name}.png").stat().st_size > 20_000


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core, fetched from the npm registry."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    try:
        subprocess.run(
            ["npm", "pack", "axe-core@4"], cwd=folder, check=True, capture_output=True, timeout=120
        )
    except (subprocess.SubprocessError, OSError):
        pytest.skip("axe-core cannot be fetched")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        member = package.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("desktop", "dark"), ("phone", "light")])
def test_axe_finds_no_serious_fault(
    open_page: Open, playing: Server, axe: str, size: str, scheme: str
) -> None:
    page = open_page(playing.url, size, scheme)
    page.wait_for_selector("#event-list li button")
    page.wait_for_selector("#capture-list li")
    page.wait_for_selector("#day-table tbody td[data-heat]")
    for text in ("This machine", "Microphone", "A file"):
        page.get_by_role("radio", name=text).check()
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        serious = [
            (fault["id"], [node["html"][:120] for node in fault["nodes"]])
            for fault in found["violations"] if fault["impact"] in ("serious", "critical")
        ]  # fmt: skip
        assert serious == [], text
        assert len(found["passes"]) > 20


def test_axe_finds_no_fault_in_the_form_for_the_token(
    browser: Any, serve: Serve, model_path: Path, axe: str
) -> None:
    server = serve("--source", "browser", "--model", model_path, "--token", "a-long-token")
    page = browser.new_page()
    page.goto(server.url)
    page.evaluate(axe)
    assert [f["id"] for f in page.evaluate("axe.run()")["violations"]] == []
    page.context.close()
