// Plays one sound at a time, and shows it on the button that started it.

import { $, element } from "./text.js";

class Player {
  constructor() {
    this.playing = null; // its button
    for (const name of ["ended", "error", "pause"]) $("player").addEventListener(name, () => this.stopped());
  }

  button(label, source) {
    const button = element("button", "play", "▶");
    button.type = "button";
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => {
      const again = this.playing === button;
      this.stopped();
      if (again) return $("player").pause();
      this.playing = button;
      button.textContent = "■";
      $("player").src = source;
      return $("player").play().catch(() => { button.disabled = true; this.stopped(); });
    });
    return button;
  }

  stopped() {
    if (this.playing) this.playing.textContent = "▶";
    this.playing = null;
  }
}

export const player = new Player();
