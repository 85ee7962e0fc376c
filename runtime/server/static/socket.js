// A WebSocket of this server: its messages go to a handler, its state to the page.

import { $ } from "./text.js";

const RETRY_MS = 1000, RETRY_MAX_MS = 15000;

export class Socket {
  constructor(path, { onMessage, onOpen = () => {}, onClose = () => {}, again = false }) {
    Object.assign(this, { path, onMessage, onOpen, onClose, again, retry: RETRY_MS, ended: false });
    this.open();
  }

  open() {
    connection("connecting", "waiting");
    this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${this.path}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("open", () => {
      this.retry = RETRY_MS;
      connection("connected", "open");
      this.onOpen();
    });
    this.socket.addEventListener("message", ({ data }) => this.onMessage(JSON.parse(data)));
    this.socket.addEventListener("close", ({ code, reason }) => this.closed(code, reason));
  }

  closed(code, reason) {
    if (this.ended) return;
    connection("not connected", "closed");
    this.onClose(code, reason);
    if (!this.again) return;
    setTimeout(() => { if (!this.ended) this.open(); }, this.retry);
    this.retry = Math.min(2 * this.retry, RETRY_MAX_MS);
  }

  send(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  get unsent() {
    return this.socket.bufferedAmount;
  }

  close() {
    this.ended = true;
    this.socket.close();
  }
}

export function connection(text, state) {
  $("connection").textContent = text;
  $("connection").dataset.state = state;
}
