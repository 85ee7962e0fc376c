// Connects the parts of the page.

import { Captures } from "./captures.js";
import { showCard } from "./card.js";
import { Day } from "./day.js";
import { Events } from "./events.js";
import { acceptFiles } from "./file.js";
import { Microphone } from "./microphone.js";
import { Socket, connection } from "./socket.js";
import { $, element, title } from "./text.js";
import { View } from "./view.js";

const view = new View(), events = new Events(), day = new Day();
let state = null, live = null, microphone = null;

const input = () => document.querySelector("input[name=input]:checked").value;
const json = async (path) => (await fetch(path)).json();

async function boot() {
  const [models, found] = await Promise.all([json("/api/models"), json("/api/state")]);
  state = found;
  $("model").replaceChildren(...models.models.map((name) => element("option", "", name)));
  $("model").value = models.input ?? models.models[0];
  $("choose-live").hidden = !state.input;
  $("day").hidden = !state.input;
  if (state.input?.recorded) $("recording-note").textContent = "The sound of the server's own input is recorded on it.";
  if (state.captured) {
    $("capturing-note").textContent = "The sound around events of the server's own input, and around close misses, is stored on it.";
    new Captures().start();
  }
  document.querySelector(`input[name=input][value=${state.input ? "live" : "microphone"}]`).checked = true;
  choose();
  if (state.input) day.load();
}

// Show another input.
function choose() {
  live?.close();
  live = null;
  microphone?.stop();
  $("problem").textContent = "";
  $("microphone").hidden = input() !== "microphone";
  $("file").hidden = input() !== "file";
  $("moving").hidden = input() === "file";
  $("figures").hidden = input() === "file";
  events.clear(input() === "live");
  view.reset("Waiting", { live: "no window yet", microphone: "the microphone is off", file: "no file yet" }[input()]);
  connection(input() === "file" ? "ready" : "not connected", "waiting");
  if (input() === "live") watch();
  showCard($("model").value);
}

function watch() {
  live = new Socket("/ws/live", {
    again: true,
    onOpen: () => {
      events.clear(true);
      events.recorded = state.input.recorded;
      events.load();
    },
    onMessage: (message) => handlers[message.type]?.(message),
    onClose: () => view.reset("Not connected", "the server does not answer"),
  });
}

const handlers = {
  started(message) {
    view.started(message);
    if (input() === "live") {
      $("model").value = message.model;
      showCard(message.model);
    }
  },
  window: (message) => view.window(message),
  change: (message) => view.change(message),
  event(message) {
    events.add(message);
    if (message.id !== undefined) day.refresh();
  },
  switched() { live?.close(); watch(); },
  ended() { view.reset("Ended", "the input came to its end"); },
};

async function toggleMicrophone() {
  if (microphone) {
    microphone.stop();
    return;
  }
  $("problem").textContent = "";
  events.clear(false);
  const button = $("microphone-button");
  button.disabled = true;
  microphone = new Microphone($("model").value, {
    onMessage: (message) => handlers[message.type]?.(message),
    onEnd: (reason) => {
      microphone = null;
      button.textContent = "Start my microphone";
      if (input() !== "microphone") return;
      view.reset("Waiting", "the microphone is off");
      connection("not connected", "waiting");
      $("problem").textContent = reason;
    },
  });
  try {
    const { changed } = await microphone.start();
    button.textContent = "Stop my microphone";
    if (changed) $("problem").textContent = "This browser changes the sound of the microphone (noise suppression or gain), which may change labels.";
  } catch (error) {
    microphone?.stop(error.name === "NotAllowedError" ? "The page may not use the microphone: allow it in the browser." : error.message);
  }
  button.disabled = false;
}

async function chooseModel() {
  const name = $("model").value;
  showCard(name);
  if (input() === "microphone" && microphone) {
    microphone.stop();
    toggleMicrophone();
  }
  if (input() !== "live") return;
  const body = JSON.stringify({ name });
  const response = await fetch("/api/model", { method: "POST", body, headers: { "content-type": "application/json" } });
  if (!response.ok) $("problem").textContent = (await response.json()).error;
}

acceptFiles(() => $("model").value, {
  limit: () => state.upload_bytes,
  onStart: (name) => {
    $("problem").textContent = "";
    events.clear(false);
    view.reset("Classifying", name);
  },
  onResult: ({ clip, runs, events: found, notes }, name) => {
    $("problem").textContent = notes.join(" ");
    view.prediction(clip, clip.labels);
    $("detail").textContent += `, ${name}, ${clip.end_s.toFixed(1)} s`;
    view.runs(runs);
    $("no-events").hidden = found.length > 0;
    const offsets = found.filter(({ event }) => event === "offset");
    $("event-list").replaceChildren(...offsets.reverse().map((event) => {
      const item = element("li");
      const when = element("span", "when", `${event.start_s.toFixed(1)} to ${event.end_s.toFixed(1)} s`);
      item.append(element("span", "what", title(event.label)), when, element("span", "sure", `${Math.round(event.probability * 100)} %`));
      return item;
    }));
  },
  onProblem: (text) => {
    view.reset("Waiting", "no file yet");
    $("problem").textContent = text;
  },
});

document.querySelectorAll("input[name=input]").forEach((radio) => radio.addEventListener("change", choose));
$("microphone-button").addEventListener("click", toggleMicrophone);
$("model").addEventListener("change", chooseModel);
boot();
