// A day of the log: how many events of each class began in each hour.

import { $, element, title } from "./text.js";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

const iso = (date) => new Date(date.getTime() - 60000 * date.getTimezoneOffset()).toISOString().slice(0, 10);

export class Day {
  constructor() {
    $("day-date").value = iso(new Date());
    $("day-date").addEventListener("change", () => this.load());
    $("day-before").addEventListener("click", () => this.move(-1));
    $("day-after").addEventListener("click", () => this.move(1));
  }

  move(days) {
    const date = new Date(`${$("day-date").value || iso(new Date())}T12:00`);
    date.setDate(date.getDate() + days);
    $("day-date").value = iso(date);
    this.load();
  }

  // soon, and once for events that come together
  refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), 1500);
  }

  // a phone is too narrow for a day: show the hour that it is
  showNow() {
    const box = $("day-table").parentElement;
    if ($("day-date").value === iso(new Date())) box.scrollLeft = (box.scrollWidth * new Date().getHours()) / 24 - box.clientWidth / 2;
  }

  async load() {
    const asked = $("day-date").value;
    const response = await fetch(`/api/day?date=${encodeURIComponent(asked)}`);
    if (!response.ok || asked !== $("day-date").value) return;
    this.draw((await response.json()).counts);
  }

  draw(counts) {
    const labels = Object.keys(counts).sort();
    const most = Math.max(1, ...labels.flatMap((label) => counts[label]));
    const head = element("tr");
    head.append(element("td"), ...HOURS.map((hour) => {
      const cell = element("th", "", hour);
      cell.scope = "col";
      return cell;
    }));
    const rows = labels.map((label) => {
      const row = element("tr");
      const name = element("th", "", title(label));
      name.scope = "row";
      row.append(name, ...counts[label].map((count) => {
        const cell = element("td", "", count || "");
        if (count) cell.dataset.heat = Math.ceil((4 * count) / most);
        return cell;
      }));
      return row;
    });
    const thead = element("thead"), tbody = element("tbody");
    thead.append(head);
    tbody.append(...rows);
    const caption = element("caption", "hidden", "Events by class and hour");
    $("day-table").replaceChildren(caption, ...(rows.length ? [thead, tbody] : []));
    $("day-note").textContent = rows.length
      ? "Events that began in each hour, by the clock of this machine." : "No event on this day.";
    this.showNow();
  }
}
