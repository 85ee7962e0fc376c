// What is classified now: label, picture, level, bars, lag.

import { Spectrum } from "./spectrum.js";
import { $, STATES, element, percent, seconds, title } from "./text.js";

const TOP = 5;
const ANNOUNCE_MS = 3000; // a screen reader is not told more often

export class View {
  constructor() {
    this.spectrum = new Spectrum($("spectrum"));
    this.announced = { text: "", at: -ANNOUNCE_MS };
    this.bars = Array.from({ length: TOP }, () => this.makeBar());
  }

  makeBar() {
    const item = element("li");
    const bar = element("div", "bar");
    const parts = { item, name: element("span", "name"), fill: element("div", "fill"), value: element("span", "value") };
    bar.append(parts.fill);
    item.append(parts.name, bar, parts.value);
    item.hidden = true;
    $("bars").append(item);
    return parts;
  }

  reset(text, detail = "") {
    this.show("waiting", text, detail);
    this.bars.forEach(({ item }) => { item.hidden = true; });
    this.level(null);
    for (const id of ["lag", "lost", "hop", "input-name"]) $(id).textContent = "–";
    $("lost").classList.remove("some");
    $("change").textContent = "";
    $("runs").hidden = true;
  }

  show(state, label, detail) {
    $("now").dataset.state = state;
    $("label").textContent = label;
    $("detail").textContent = detail;
    const now = performance.now();
    if (state !== "waiting" && label !== this.announced.text && now - this.announced.at > ANNOUNCE_MS) {
      this.announced = { text: label, at: now };
      $("announcement").textContent = label;
    }
  }

  started(message) {
    this.labels = message.labels;
    this.hop = message.hop_s;
    this.spectrum.reset(message.spectrum);
    $("hop").textContent = seconds(message.hop_s);
    $("input-name").textContent = message.source;
  }

  window(message) {
    const { smoothed } = message;
    this.prediction(smoothed, message.labels);
    this.level(message.level_dbfs);
    if (message.spectrum) this.spectrum.push(message.spectrum);
    else this.spectrum.skip(this.hop, message.state === "gap");
    $("lag").textContent = seconds(message.late_s);
    $("lost").textContent = seconds(message.dropped);
    $("lost").classList.toggle("some", message.dropped > 0);
  }

  // a prediction and those of its labels that reach their thresholds
  prediction({ label, scores, state }, labels) {
    const known = labels.length > 0;
    const shown = known && Object.keys(scores).length > 0;
    const name = shown ? labels.map(title).join(", ") : STATES[state === "ok" ? "unknown" : state];
    const order = Object.keys(scores).sort(
      (a, b) => labels.includes(b) - labels.includes(a) || scores[b] - scores[a]);
    const [first] = order;
    let detail = { no_signal: "silence, or a microphone that is off", gap: "samples did not arrive" }[state] ?? "";
    if (first) detail = shown ? `confidence ${percent(scores[label ?? first])}` : `most probable: ${title(first)}, ${percent(scores[first])}`;
    this.show(shown ? "ok" : state === "ok" ? "unknown" : state, name, detail);
    this.bars.forEach(({ item, name: text, fill, value }, index) => {
      const of = order[index];
      item.hidden = of === undefined;
      if (item.hidden) return;
      item.classList.toggle("sure", labels.includes(of));
      text.textContent = title(of);
      fill.style.transform = `scaleX(${scores[of]})`;
      value.textContent = scores[of].toFixed(2);
    });
  }

  level(dbfs) {
    const shown = dbfs ?? -80;
    $("level").setAttribute("aria-valuenow", Math.round(shown));
    $("level").setAttribute("aria-valuetext", dbfs === null ? "no signal" : `${Math.round(dbfs)} dBFS`);
    $("level").firstElementChild.style.transform = `scaleX(${Math.max(0, Math.min(1, (shown + 80) / 80))})`;
    $("level").classList.toggle("loud", shown > -6);
    $("level-text").textContent = dbfs === null ? "–" : `${Math.round(dbfs)} dBFS`;
  }

  change(message) {
    if (message.hop_s) {
      this.hop = message.hop_s;
      $("hop").textContent = seconds(message.hop_s);
    }
    $("change").textContent = `${title(message.event)}: ${message.detail}`;
  }

  // the labels of a file over time
  runs(runs) {
    $("runs").hidden = false;
    $("runs-body").replaceChildren(...runs.slice(0, 1000).map((run) => {
      const row = element("tr");
      const labels = Object.entries(run.means).map(([label, mean]) => `${title(label)} ${percent(mean)}`);
      const texts = [`${run.start_s.toFixed(1)} s`, `${run.end_s.toFixed(1)} s`, labels.join(", ") || STATES[run.state]];
      row.append(...texts.map((text) => element("td", "", text)));
      return row;
    }));
  }
}
