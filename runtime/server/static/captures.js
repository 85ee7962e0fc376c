// Captures of the machine: played, and sorted into class folders.

import { player } from "./player.js";
import { $, clock, element, percent, title } from "./text.js";

const EVERY_MS = 10000; // a close miss is not announced
const NOT_A_CLASS = "not_a_class";

export class Captures {
  constructor() {
    this.items = new Map(); // name of the file to its item in the list
    this.classes = "";
  }

  start() {
    $("captures").hidden = false;
    this.load();
    setInterval(() => { if (!document.hidden) this.load(); }, EVERY_MS);
  }

  async load() {
    const response = await fetch("/api/captures").catch(() => null);
    if (!response?.ok) return;
    const { captures, classes, count } = await response.json();
    const joined = classes.join("\n");
    if (joined !== this.classes) this.items.clear(); // all choices are out of date
    this.classes = joined;
    const names = new Set(captures.map(({ name }) => name));
    for (const name of this.items.keys()) if (!names.has(name)) this.items.delete(name);
    for (const capture of captures) {
      if (!this.items.has(capture.name)) this.items.set(capture.name, this.draw(capture, classes));
    }
    this.show(captures.map(({ name }) => this.items.get(name)));
    const more = count > captures.length ? `; the latest ${captures.length} are shown` : "";
    const note = count ? `${count} to sort${more}.` : "Nothing to sort.";
    if ($("captures-note").textContent !== note) $("captures-note").textContent = note; // announced once
  }

  // items that stay are not touched, so that the focus stays where it is
  show(items) {
    const list = $("capture-list");
    for (const item of [...list.children]) if (!items.includes(item)) item.remove();
    items.forEach((item, place) => { if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null); });
  }

  draw(capture, classes) {
    const item = element("li"), what = `${title(capture.label)} of ${clock(capture.time)}`;
    const kind = `${capture.kind === "miss" ? "close miss" : "event"}, ${percent(capture.score)}`;
    const day = new Date(capture.time).toLocaleDateString();
    const choice = element("select");
    choice.setAttribute("aria-label", `Class of ${what}`);
    choice.append(...classes.map((label) => {
      const option = element("option", "", title(label));
      option.value = label;
      return option;
    }));
    choice.value = capture.label;
    const button = (text, act) => {
      const made = element("button", "", text);
      made.type = "button";
      made.setAttribute("aria-label", `${text}: ${what}`);
      made.addEventListener("click", () => act(made));
      return made;
    };
    const controls = element("div", "sorting");
    controls.append(
      choice,
      button("Move", () => this.send(capture, { label: choice.value })),
      button("Not a class", () => this.send(capture, { label: NOT_A_CLASS })),
      button("Delete", (made) => {
        if (made.textContent === "Delete") made.textContent = "Really delete";
        else this.send(capture, { delete: true });
        made.setAttribute("aria-label", `${made.textContent}: ${what}`);
      }),
    );
    item.append(
      player.button(`Play ${what}`, `/api/captures/sound.wav?name=${encodeURIComponent(capture.name)}`),
      element("span", "what", title(capture.label)),
      element("span", "when", `${day} ${clock(capture.time)}, ${kind}`),
      controls,
    );
    return item;
  }

  async send({ name }, fields) {
    const body = JSON.stringify({ name, ...fields });
    const response = await fetch("/api/captures", { method: "POST", body, headers: { "content-type": "application/json" } });
    $("captures-problem").textContent = response.ok ? "" : (await response.json()).error;
    await this.load();
    $("captures-note").focus(); // its buttons are gone
  }
}
