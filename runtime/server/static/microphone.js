// The microphone of this browser, as it is: nothing that was made for calls changes its sound.

import { Socket } from "./socket.js";

const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
const UNSENT_S = 1; // more than that waits for the network: the newest samples are lost

export class Microphone {
  // handlers: onMessage(message), onEnd(reason)
  constructor(model, handlers) {
    Object.assign(this, { model, handlers, lost: 0 });
  }

  async start() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give a page a microphone only over HTTPS or on the same machine: start the server with --certificate.");
    }
    this.media = await navigator.mediaDevices.getUserMedia({ audio: RAW });
    const [track] = this.media.getAudioTracks();
    track.addEventListener("ended", () => this.stop("the microphone was switched off"));
    this.context = new AudioContext();
    await this.context.resume();
    await this.context.audioWorklet.addModule("/static/pcm-worklet.js");
    const node = new AudioWorkletNode(this.context, "pcm", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => this.send(data);
    const rate = this.context.sampleRate;
    this.socket = new Socket("/ws/microphone", {
      onOpen: () => {
        this.socket.send(JSON.stringify({ type: "start", sample_rate: rate, model: this.model }));
        this.context.createMediaStreamSource(this.media).connect(node);
      },
      onMessage: this.handlers.onMessage,
      onClose: (code, reason) => this.stop(reason || `the connection was closed (${code})`),
    });
    const { echoCancellation, noiseSuppression, autoGainControl } = track.getSettings();
    return { rate, changed: Boolean(echoCancellation || noiseSuppression || autoGainControl) };
  }

  send(block) {
    const blockS = block.byteLength / 2 / this.context.sampleRate;
    if (this.socket.unsent > 2 * UNSENT_S * this.context.sampleRate) {
      this.lost += blockS;
      return;
    }
    if (this.lost) {
      this.socket.send(JSON.stringify({ type: "lost", seconds: Math.min(this.lost, 60) }));
      this.lost = 0;
    }
    this.socket.send(block);
  }

  stop(reason = "") {
    if (this.stopped) return;
    this.stopped = true;
    this.media?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.socket?.close();
    this.handlers.onEnd(reason);
  }
}
