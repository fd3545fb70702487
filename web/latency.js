// latency.js: what each token took. A strip over time, in which every token is a bar as wide and as
// high as its gap to the token before; beside it, how often which gap occurred.

const most = 20000; // gaps that are kept of all answers

// As everywhere in EdgeLLM: no percentile of fewer than 10 / (1 - p) samples.
export function percentile(sorted, p) {
  if (sorted.length < Math.round(10 / (1 - p))) return NaN;
  return sorted[Math.ceil(p * sorted.length) - 1];
}

// 1, 2 or 5 times a power of ten: the least that is not below.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * 0.9999);
}

export function ms(value) {
  if (!Number.isFinite(value)) return "–";
  return value.toFixed(value < 10 ? 2 : value < 1000 ? 1 : 0);
}

function visible(text) {
  return text.replaceAll("\n", "↵");
}

// One answer, as its tokens come.
export class Record {
  at = []; // ms from the request's arrival, by the server's clock
  text = [];
  deadline = 0; // ms; 0: none
  forecast = 0;
  isOver = false;

  add(token) {
    this.at.push(token.at_ms);
    this.text.push(token.text);
  }

  get last() {
    return this.at.at(-1) ?? 0;
  }

  gaps(from = 1) {
    const gaps = [];
    for (let i = from; i < this.at.length; i++) gaps.push(this.at[i] - this.at[i - 1]);
    return gaps;
  }

  get rate() {
    return this.at.length > 1 ? ((this.at.length - 1) * 1000) / (this.last - this.at[0]) : NaN;
  }
}

export class Latency {
  #record = new Record();
  #live = this.#record; // the one whose gaps are still counted
  #all = []; // gaps of all answers
  #counted = 1; // tokens of #live whose gaps are in it
  #chosen = -1; // a token
  #frame = 0;
  #figured = 0; // when the figures were made

  constructor(canvas, readout, rows) {
    this.canvas = canvas;
    this.readout = readout;
    this.rows = rows;
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("pointermove", (event) => this.#choose(this.#at(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this.#choose(-1));
    canvas.addEventListener("blur", () => this.#choose(-1));
    new ResizeObserver(() => this.draw()).observe(canvas);
    addEventListener("themechange", () => this.draw());
    this.#figures();
  }

  begin(record) {
    this.#live = record;
    this.#counted = 1;
    this.show(record);
  }

  show(record) {
    this.#record = record;
    this.#chosen = -1;
    this.update();
  }

  forget() {
    this.#all = [];
    this.begin(new Record());
  }

  // The record has changed. What is shown follows with the next frame.
  update() {
    this.#all.push(...this.#live.gaps(this.#counted));
    this.#counted = Math.max(1, this.#live.at.length);
    if (this.#all.length > most) this.#all.splice(0, this.#all.length - most);
    if (this.#record.isOver || performance.now() - this.#figured > 250) this.#figures();
    this.#frame ||= requestAnimationFrame(() => this.draw());
  }

  // ---- figures ----

  #figures() {
    const record = this.#record;
    this.#figured = performance.now();
    this.#row(this.rows.answer, record.gaps(), record.rate);
    this.#row(this.rows.all, this.#all, NaN);
    this.#tell();
  }

  #row(row, gaps, rate) {
    const sorted = Float64Array.from(gaps).sort();
    const values = [ms(percentile(sorted, 0.5)), ms(percentile(sorted, 0.99)), ms(sorted.at(-1)),
      String(sorted.length), Number.isFinite(rate) ? rate.toFixed(1) : ""];
    values.forEach((value, i) => (row.cells[i + 1].textContent = value));
    row.cells[1].title = sorted.length < 20 ? "from 20 gaps on" : "";
    row.cells[2].title = sorted.length < 1000 ? "from 1000 gaps on" : "";
  }

  // ---- the chosen token ----

  #key(event) {
    const last = this.#record.at.length - 1;
    const to = { ArrowLeft: this.#chosen < 0 ? last : Math.max(0, this.#chosen - 1),
      ArrowRight: Math.min(last, this.#chosen + 1), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#choose(to);
  }

  #choose(i) {
    if (i === this.#chosen) return;
    this.#chosen = Math.min(i, this.#record.at.length - 1);
    this.#tell();
    this.#frame ||= requestAnimationFrame(() => this.draw());
  }

  #tell() {
    const { at, text } = this.#record;
    const i = this.#chosen;
    let words = "on the server’s clock";
    if (at.length > 0) words = `first token after ${ms(at[0])} ms, on the server’s clock`;
    if (i === 0) words = `token 1 “${visible(text[0])}”, ${ms(at[0])} ms after the question`;
    if (i > 0) words = `token ${i + 1} “${visible(text[i])}”, ${ms(at[i] - at[i - 1])} ms after the one before`;
    this.readout.textContent = words;
    const canvas = this.canvas;
    canvas.setAttribute("aria-valuemax", String(at.length));
    canvas.setAttribute("aria-valuenow", String(i + 1));
    canvas.setAttribute("aria-valuetext", at.length > 0 ? words : "no tokens yet");
  }

  // ---- the picture ----

  // Where everything is. Without a deadline in sight, what came before the first token is cut.
  #plan() {
    const { at, last, deadline, isOver } = this.#record;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const histogram = width < 520 ? 90 : 168;
    const first = at[0] ?? 0;
    const inSight = deadline > 0 && deadline < 3 * last;
    const from = inSight ? 0 : Math.max(0, first - 0.08 * Math.max(last - first, 20));
    let to = from + (isOver ? Math.max(last - from, 1) : nice(Math.max(1.1 * (last - from), 100)));
    if (inSight) to = Math.max(deadline, last) * 1.02;
    const gaps = this.#record.gaps();
    const top = gaps.concat(this.#all).reduce((a, b) => Math.max(a, b), 0.01) * 1.08;
    const usual = percentile(Float64Array.from(gaps).sort(), 0.5);
    const left = 38, right = width - histogram - 36, bottom = height - 18, above = 6;
    return { gaps, usual, from, to, top, left, right, bottom, above, width, height, histogram, inSight,
      x: (t) => left + ((t - from) / (to - from)) * (right - left),
      y: (gap) => bottom - (gap / top) * (bottom - above) };
  }

  #at(x) {
    const { at } = this.#record;
    const p = this.#plan();
    if (x < p.left || x > p.right + 4 || at.length === 0) return -1;
    const i = at.findIndex((t) => p.x(t) >= x);
    return i < 0 ? at.length - 1 : i;
  }

  draw() {
    const canvas = this.canvas, scale = devicePixelRatio;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    if (canvas.width === 0) return;
    const g = canvas.getContext("2d"), style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const p = this.#plan();
    g.scale(scale, scale);
    g.font = `11px ${style.fontFamily}`;
    this.#axes(g, p, colour);
    this.#bars(g, p, colour);
    this.#histogram(g, p, colour);
    this.#marks(g, p, colour);
  }

  #axes(g, p, colour) {
    const room = (p.right - p.left) / 64; // for so many words
    const time = nice((p.to - p.from) / Math.max(1, room));
    const gap = p.gaps.length + this.#all.length > 0 ? nice(p.top / 3.2) : Infinity;
    g.lineWidth = 1;
    g.strokeStyle = colour("rule");
    g.fillStyle = colour("muted");
    g.textAlign = "right";
    for (let v = 0; v <= p.top; v += gap) {
      const y = Math.round(p.y(v)) + 0.5;
      g.beginPath();
      g.moveTo(p.left, y);
      g.lineTo(p.right, y);
      g.stroke();
      g.fillText(String(+v.toPrecision(3)), p.left - 6, y + (v === 0 ? 0 : 4));
    }
    g.textAlign = "center";
    const start = Math.ceil(p.from / time) * time;
    for (let t = start; t <= p.to && this.#record.at.length > 0; t += time) {
      const words = p.to > 10000 ? `${+(t / 1000).toPrecision(4)} s` : `${+t.toPrecision(6)} ms`;
      const half = g.measureText(words).width / 2;
      if (p.x(t) - half >= 0 && p.x(t) + half <= p.right + 8) g.fillText(words, p.x(t), p.height - 4);
    }
    if (this.#record.at.length === 0) g.fillText("ms", p.left - 14, p.height - 4);
  }

  #bars(g, p, colour) {
    const { at } = this.#record;
    if (at.length === 0) return;
    const begin = Math.max(p.left, p.x(0)), first = p.x(at[0]);
    g.fillStyle = colour("soft");
    g.fillRect(begin, p.above, Math.max(0, first - begin), p.bottom - p.above);
    const ink = colour("ink"), late = colour("late"), accent = colour("accent");
    for (let i = 1; i < at.length; i++) {
      const x = p.x(at[i - 1]);
      let gap = at[i] - at[i - 1], isChosen = i === this.#chosen;
      while (i + 1 < at.length && p.x(at[i]) - x < 1) { // many in one dot: the longest
        gap = Math.max(gap, at[i + 1] - at[i]);
        isChosen ||= ++i === this.#chosen;
      }
      const width = p.x(at[i]) - x;
      g.fillStyle = isChosen ? ink : gap > 1.5 * p.usual ? late : accent;
      g.fillRect(x, p.y(gap), Math.max(1, width > 3 ? width - 1 : width), p.bottom - p.y(gap));
    }
  }

  // From the least gap to the greatest, but not beyond 1.5 times the median: the last bar has the rest.
  #histogram(g, p, colour) {
    const sorted = Float64Array.from(this.#all.length > 0 ? this.#all : p.gaps).sort();
    if (sorted.length < 2) return;
    const left = p.width - p.histogram, bins = Math.floor(p.histogram / 3);
    const low = sorted[0], middle = sorted[sorted.length >> 1];
    const high = Math.max(Math.min(sorted.at(-1), 1.5 * middle), low * 1.01 + 0.001);
    const count = (gaps) => {
      const counts = new Array(bins).fill(0);
      for (const gap of gaps) counts[Math.min(bins - 1, Math.floor(((gap - low) / (high - low)) * bins))]++;
      return counts;
    };
    const all = count(sorted), own = count(p.gaps.filter((gap) => gap >= low));
    const unit = (p.bottom - p.above) / Math.max(...all, ...own);
    const row = (name, counts) => {
      g.fillStyle = colour(name);
      counts.forEach((n, i) => n > 0 && g.fillRect(left + 3 * i, p.bottom - Math.max(2, n * unit), 2, Math.max(2, n * unit)));
    };
    row("soft-accent", all);
    row("accent", own);
    g.fillStyle = colour("rule");
    g.fillRect(left, p.bottom, p.histogram, 1);
    g.fillStyle = colour("muted");
    g.textAlign = "left";
    g.fillText(ms(low), left, p.height - 4);
    g.textAlign = "right";
    g.fillText(`${sorted.at(-1) > high ? "≥ " : ""}${ms(high)} ms`, p.width, p.height - 4);
  }

  // Deadline, forecast, median.
  #marks(g, p, colour) {
    const { deadline, forecast } = this.#record;
    const line = (from, to, dashes, name) => {
      g.strokeStyle = colour(name);
      g.setLineDash(dashes);
      g.beginPath();
      g.moveTo(...from);
      g.lineTo(...to);
      g.stroke();
      g.setLineDash([]);
    };
    if (p.usual) {
      line([p.left, p.y(p.usual)], [p.right, p.y(p.usual)], [2, 3], "ink");
      g.fillStyle = colour("ink");
      g.textAlign = "left";
      g.fillText("P50", p.right + 4, p.y(p.usual) + 4);
    }
    if (!p.inSight) return;
    line([p.x(deadline), p.above], [p.x(deadline), p.bottom], [], "late");
    g.textAlign = "right";
    g.fillStyle = colour("late");
    g.fillText("deadline", p.x(deadline) - 4, p.above + 9);
    if (!(forecast > 0)) return;
    line([p.x(forecast), p.above], [p.x(forecast), p.bottom], [4, 3], "late");
    g.fillText("forecast", p.x(forecast) - 4, p.above + (p.x(deadline) - p.x(forecast) < 60 ? 22 : 9));
  }
}
