// What a model file says of itself, and what was checked when it was loaded.

import { $, element, title } from "./text.js";

const number = (value) => (value === undefined ? undefined : value.toLocaleString("en"));
const SHORT = 12; // entries of a list that are shown; calibration has a hundred

export async function showCard(name) {
  const response = await fetch(`/api/model?name=${encodeURIComponent(name)}`);
  const card = await response.json();
  const fields = response.ok ? describe(card) : { Error: card.error };
  $("card-fields").replaceChildren(...Object.entries(fields).filter(([, value]) => value).map(([key, value]) => {
    const pair = element("div");
    pair.append(element("dt", "", key), element("dd", "", value));
    return pair;
  }));
  $("card-labels").replaceChildren(...(card.labels ?? []).map((label) => element("li", "", title(label))));
  $("card-provenance").textContent = JSON.stringify(card.provenance ?? {}, shortened, 2);
}

function describe({ name, labels, task, clip_s, complexity, quantization, temperature, thresholds, frontend, self_test, file_bytes, sha256 }) {
  const { vectors, largest_difference, optimization } = self_test;
  return {
    Name: name,
    Labels: `${labels.length}, ${task === "multi_label" ? "several at a time" : "one at a time"}`,
    Parameters: number(complexity.params),
    "MACs a window": number(complexity.macs),
    Window: `${clip_s} s at ${number(frontend.sample_rate)} Hz`,
    "Log-mel": `${frontend.n_mels} bands, ${frontend.f_min} to ${number(frontend.f_max)} Hz`,
    Quantization: quantization.scheme,
    File: `${number(Math.round(file_bytes / 1024))} KiB`,
    "Self-test": vectors ? `${vectors} of ${vectors} passed, largest difference ${Number(largest_difference.toPrecision(2))}, optimization ${optimization}` : "the file has none",
    Confidence: `temperature ${temperature.toPrecision(3)}, ${Object.keys(thresholds).length} thresholds fitted`,
    "SHA-256": `${sha256.slice(0, 12)}…`,
  };
}

function shortened(key, value) {
  if (!Array.isArray(value) || value.length <= SHORT) return value;
  return [...value.slice(0, SHORT), `and ${value.length - SHORT} more`];
}
