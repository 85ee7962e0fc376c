// How values are written.

export const STATES = { no_signal: "No signal", gap: "Samples lost", unknown: "Unknown", waiting: "Waiting" };

export const title = (label) => label.replaceAll("_", " ");

export const percent = (probability) => `${Math.round(probability * 100)} %`;

export const clock = (iso) =>
  new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);

export const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

export const $ = (id) => document.getElementById(id);
