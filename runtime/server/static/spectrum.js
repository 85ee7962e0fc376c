// The log-mel that scrolls: the newest column stands on the right.

const HISTORY_S = 10;
const FRAME_MS = 40; // 25 pictures a second are enough
const LOST = -1; // the value of a column whose samples were lost
const STOPS = [[4, 3, 13], [45, 17, 96], [114, 31, 129], [183, 55, 121], [241, 96, 93], [254, 175, 119], [252, 250, 200]];
const COLOURS = Array.from({ length: 256 }, (_, value) => {
  const place = (value / 255) * (STOPS.length - 1);
  const from = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[from].map((start, i) => start + (STOPS[from + 1][i] - start) * (place - from));
});

export class Spectrum {
  constructor(canvas) {
    this.canvas = canvas;
    this.history = document.createElement("canvas");
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.reset({ bands: 64, columns_per_s: 64, ticks: [] });
    new ResizeObserver(() => this.draw()).observe(canvas);
    let drawn = 0;
    const frame = (now) => {
      if (now - drawn >= FRAME_MS) {
        drawn = now;
        this.release();
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  reset({ bands, columns_per_s, ticks }) {
    Object.assign(this, { bands, ticks, rate: columns_per_s, waiting: [], low: 40, high: 200 });
    this.history.width = Math.round(HISTORY_S * columns_per_s);
    this.history.height = bands;
    this.pen = this.history.getContext("2d", { willReadFrequently: false });
    this.pen.fillStyle = "rgb(4,3,13)";
    this.pen.fillRect(0, 0, this.history.width, bands);
    this.draw();
  }

  // base64 of bytes, column after column, low bands first
  push(base64) {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    for (let i = 0; i + this.bands <= bytes.length; i += this.bands) this.waiting.push(bytes.subarray(i, i + this.bands));
  }

  // a stretch without a log-mel
  skip(seconds, lost) {
    for (let i = Math.round(seconds * this.rate); i > 0; i -= 1) this.waiting.push(lost ? LOST : null);
  }

  // Columns arrive a hop at a time and are drawn a few each frame, so that the picture flows.
  release() {
    if (!this.waiting.length || document.hidden) {
      if (this.waiting.length > this.history.width) this.waiting.splice(0, this.waiting.length - this.history.width);
      return;
    }
    const count = this.still.matches ? this.waiting.length : Math.ceil(this.waiting.length / 4);
    const columns = this.waiting.splice(0, count).slice(-this.history.width);
    const width = this.history.width - columns.length;
    this.pen.drawImage(this.history, -columns.length, 0);
    const image = this.pen.createImageData(columns.length, this.bands);
    columns.forEach((column, x) => this.paint(image, column, x));
    this.pen.putImageData(image, width, 0);
    this.draw();
  }

  paint(image, column, x) {
    if (column instanceof Uint8Array) {
      const sorted = Uint8Array.from(column).sort();
      this.low += 0.01 * (sorted[sorted.length >> 2] - this.low);
      this.high = Math.max(this.high - 0.15, sorted[sorted.length - 2], this.low + 60);
    }
    for (let band = 0; band < this.bands; band += 1) {
      const at = 4 * ((this.bands - 1 - band) * image.width + x);
      let colour = COLOURS[0];
      if (column === LOST) colour = (x + band) % 6 < 3 ? [120, 30, 50] : [40, 10, 20];
      else if (column) {
        const value = (255 * (column[band] - this.low + 12)) / (this.high - this.low + 12);
        colour = COLOURS[Math.max(0, Math.min(255, Math.round(value)))];
      }
      image.data.set([...colour, 255], at);
    }
  }

  draw() {
    const { canvas } = this;
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.history, 0, 0, width, height);
    pen.font = `${11 * scale}px system-ui, sans-serif`;
    let free = height;
    for (const { hz, place } of this.ticks) {
      const y = (1 - place) * height;
      if (y > free - 13 * scale || y < 8 * scale) continue;
      free = y;
      const text = hz >= 1000 ? `${hz / 1000} kHz` : `${hz} Hz`;
      pen.fillStyle = "rgba(0,0,0,.55)";
      pen.fillRect(4 * scale, y - 7 * scale, pen.measureText(text).width + 6 * scale, 14 * scale);
      pen.fillStyle = "#fff";
      pen.fillText(text, 7 * scale, y + 4 * scale);
    }
  }
}
