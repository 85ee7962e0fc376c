// A file that is dropped or chosen: sent whole, classified as `tinyscene classify` does.

import { $ } from "./text.js";

// handlers: onStart(name), onResult(result), onProblem(text)
export function acceptFiles(model, handlers) {
  const zone = $("file");
  $("file-input").addEventListener("change", ({ target }) => {
    if (target.files[0]) classify(target.files[0], model(), handlers);
    target.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) classify(file, model(), handlers);
  });
}

async function classify(file, model, { onStart, onResult, onProblem, limit }) {
  if (file.size > limit()) {
    onProblem(`The file is larger than ${Math.floor(limit() / 2 ** 20)} MiB: classify it with \`tinyscene classify\`.`);
    return;
  }
  onStart(file.name);
  try {
    const response = await fetch(`/api/classify?model=${encodeURIComponent(model)}`, { method: "POST", body: file });
    const result = await response.json();
    if (response.ok) onResult(result, file.name);
    else onProblem(result.error);
  } catch {
    onProblem("The file could not be sent: is the server still there?");
  }
}
