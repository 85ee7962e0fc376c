// The list of events: those of the machine come from its log, those of a browser are shown only here.

import { player } from "./player.js";
import { $, clock, element, percent, seconds, title } from "./text.js";

const SHOWN = 100;

export class Events {
  clear(ofMachine) {
    this.items = new Map();
    this.ofMachine = ofMachine;
    this.recorded = false;
    $("event-list").replaceChildren();
    $("no-events").hidden = false;
    $("downloads").hidden = !ofMachine;
  }

  async load() {
    const { events } = await (await fetch(`/api/events?limit=${SHOWN}`)).json();
    if (!this.ofMachine) return;
    for (const event of events.reverse()) {
      this.put(event.id, { ...event, utc: event.start_utc, s: (Date.parse(event.end_utc) - Date.parse(event.start_utc)) / 1000 });
    }
  }

  // an onset or offset that came live
  add(message) {
    const key = message.id ?? message.label;
    const onset = message.end_s === null;
    const before = this.items.get(key)?.event;
    const utc = onset || !before ? new Date(Date.parse(message.utc) - (onset ? 0 : 1000 * (message.end_s - message.start_s))) : before.utc;
    const event = { ...message, utc, ongoing: onset, s: onset ? 0 : message.end_s - message.start_s };
    if (message.id !== undefined) event.sound = this.recorded;
    this.put(key, event);
    if (!onset && message.id === undefined) this.items.delete(key); // the next one of that label is another
  }

  put(key, event) {
    $("no-events").hidden = true;
    const old = this.items.get(key);
    const item = this.draw(event, old?.item);
    this.items.set(key, { event, item });
    if (!old) $("event-list").prepend(item);
    while ($("event-list").children.length > SHOWN) $("event-list").lastElementChild.remove();
  }

  draw(event, item = element("li")) {
    item.classList.toggle("ongoing", Boolean(event.ongoing));
    const when = element("time", "when", `${clock(event.utc)}${event.ongoing ? "" : `, ${seconds(event.s)}`}`);
    when.dateTime = new Date(event.utc).toISOString();
    const parts = [element("span", "what", title(event.label)), when, element("span", "sure", percent(event.probability))];
    if (event.sound && !event.ongoing) parts.push(this.playButton(event));
    item.replaceChildren(...parts);
    return item;
  }

  playButton(event) {
    return player.button(`Play ${title(event.label)} of ${clock(event.utc)}`, `/api/events/${event.id}/sound.wav`);
  }
}
