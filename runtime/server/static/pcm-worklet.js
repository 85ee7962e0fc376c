// In the audio thread: blocks of 16-bit samples, about 20 a second, as they come from the microphone.

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Int16Array(Math.round(sampleRate / 20));
    this.filled = 0;
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.block[this.filled] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      this.filled += 1;
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block.buffer.slice(0));
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("pcm", Pcm);
