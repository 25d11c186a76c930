/**
 * Explorers that live in a web page: a GPT, its tokenizer, and what there is to move, without a kernel or a framework.
 *
 * From top to bottom: reading files, the tokenizer, the model (as gptcore/model.py and cache.py have it, with the same
 * names), what explorers are made of, the explorers, and how they come to life in a page or in a notebook.
 *
 * A page includes this file once, `<script type="module" src="live.js"></script>`, and has places such as
 * `<div class="live" data-explorer="story"></div>`. What somebody types is shown as text and never becomes HTML: all
 * elements are made by `make`, which knows no HTML.
 *
 * Shapes are written as in gptcore, (num_tokens, emb_dim). A matrix is one long array, row behind row.
 */

// ---- Files

const ARRAYS = { F32: Float32Array, I8: Int8Array, U8: Uint8Array, I16: Int16Array, F16: Uint16Array };

/** The number that 16 bits stand for: one is the sign, 5 the exponent, 10 the digits. */
function float16(bits) {
  const exponent = (bits >> 10) & 31, digits = bits & 1023;
  const size = exponent ? (1024 + digits) * 2 ** (exponent - 25) : digits * 2 ** -24;
  return bits >> 15 ? -size : size;
}

/** Read a safetensors file: 8 bytes say how long its header is, which is JSON; behind it lie the numbers. */
export function readSafetensors(buffer) {
  const begin = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, begin - 8)));
  const { __metadata__: metadata, ...entries } = header;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(entries)) {
    const data = new ARRAYS[dtype](buffer.slice(begin + from, begin + to));
    tensors[name] = { shape, data: dtype === "F16" ? Float32Array.from(data, float16) : data };
  }
  return { metadata, tensors };
}

// ---- The tokenizer

const END_OF_TEXT = "<|endoftext|>";
// Into such pieces GPT-2 cuts a text first. JavaScript's own \s is another set of letters than White_Space.
const PIECES = new RegExp(
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+" +
    "|\\p{White_Space}+$|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}", "gu");
const bytesOf = (letters) => Uint8Array.from(letters, (letter) => letter.charCodeAt(0));

/** Byte-pair encoding by the ranks of a .tiktoken file. A token is kept as a string with one letter for each byte. */
export class Tokenizer {
  constructor(buffer) {
    const lines = new TextDecoder().decode(buffer).trim().split("\n"); // "base64-bytes rank", in the order of ranks
    this.tokens = lines.map((line) => atob(line.split(" ")[0]));
    this.ranks = new Map(this.tokens.map((token, rank) => [token, rank]));
    this.endOfText = this.tokens.push(END_OF_TEXT) - 1;
  }

  /** Text -> ids (num_tokens); "<|endoftext|>" becomes its one id, half a UTF-16 pair what "\ufffd" becomes. */
  encode(text) {
    return text.split(END_OF_TEXT).flatMap((part, index) => {
      const pieces = (part.match(PIECES) ?? []).map((piece) => [...new TextEncoder().encode(piece)]);
      const ids = pieces.flatMap((bytes) => this.merge(bytes.map((byte) => String.fromCharCode(byte))));
      return index ? [this.endOfText, ...ids] : ids;
    });
  }

  /** Join the two neighbours with the lowest rank, again and again: the bytes of a piece -> ids. */
  merge(parts) {
    const whole = this.ranks.get(parts.join(""));
    if (whole !== undefined) return [whole];
    for (;;) {
      let lowest = Infinity, place;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(parts[i] + parts[i + 1]);
        if (rank < lowest) [lowest, place] = [rank, i];
      }
      if (lowest === Infinity) return parts.map((part) => this.ranks.get(part));
      parts.splice(place, 2, parts[place] + parts[place + 1]);
    }
  }

  /** Ids -> text; bytes that are no letter become "\ufffd". */
  decode(ids) {
    const letters = ids.map((id) => this.tokens[id]).join("");
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(letters));
  }

  /** A token's text with spaces and line ends made visible; its bytes when it is only part of a letter. */
  visible(id) {
    const bytes = bytesOf(this.tokens[id]);
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      return text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
    } catch {
      return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    }
  }
}

// ---- The model

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const add = (x, y) => x.map((number, i) => number + y[i]);

/** Scores -> shares of 1. */
export function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b));
  const shares = scores.map((score) => Math.exp(score - most)), all = sum(shares);
  return shares.map((share) => share / all);
}

function meanAndVariance(x) {
  const mean = sum(x) / x.length;
  return [mean, sum(x.map((number) => (number - mean) ** 2)) / x.length];
}

/** Shift and stretch a vector (emb_dim) to mean 0 and variance 1, then apply scale and shift (emb_dim). */
export function layerNorm(x, scale, shift, eps = 1e-5) {
  const [mean, variance] = meanAndVariance(x);
  return x.map((number, i) => (scale[i] * (number - mean)) / Math.sqrt(variance + eps) + shift[i]);
}

const geluTanh = (x) => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
const gelu = (x) => 0.5 * x * (1 + geluTanh(x));

/** The keys and values of the tokens that a model has read, and where each of them looked. */
export class KVCache {
  constructor({ context_length, emb_dim, n_layers, n_heads }) {
    const each = (length, make) => Array.from({ length }, make);
    this.keys = each(n_layers, () => new Float32Array(context_length * emb_dim)); // (context_length, emb_dim) a block
    this.values = each(n_layers, () => new Float32Array(context_length * emb_dim));
    this.attention = each(n_layers, () => each(n_heads, () => [])); // [block][head][token that looks][looked at]
    this.numTokens = 0; // make it smaller, and the last tokens are forgotten
  }
}

/** A GPT-2: gptcore's GPTModel, with the same names of its parts, from a file that gptcore/pages/live.py writes. */
export class GPT {
  constructor({ metadata, tensors }) {
    this.cfg = JSON.parse(metadata.config);
    this.parts = {}; // {"trf_blocks.0.norm1": {scale, shift}, "out_head": {weight}, ...}
    for (const [name, { shape, data }] of Object.entries(tensors)) {
      const [, part, key] = name.match(/(.*)\.(.*)/), scales = tensors[`${name}.scale`]?.data;
      const numbers = new Float32Array(data);
      // In int8, whole numbers and a scale for each row are stored; in memory they are ordinary numbers again.
      if (scales) numbers.forEach((whole, i) => { numbers[i] = whole * scales[Math.floor(i / shape[1])]; });
      this.parts[part] = { ...this.parts[part], [key]: numbers };
    }
  }

  /** Read new tokens behind those in the cache: ids (num_new) -> logits (num_new, vocab_size), an array for each. */
  forward(ids, cache = new KVCache(this.cfg)) {
    const { context_length, vocab_size, n_layers } = this.cfg, all = cache.numTokens + ids.length;
    if (all > context_length) throw new RangeError(`${all} tokens are too many: the model reads ${context_length}`);
    return ids.map((id) => {
      if (!Number.isInteger(id) || id < 0 || id >= vocab_size) throw new RangeError(`there is no token with id ${id}`);
      let x = add(this.row("tok_emb", id), this.row("pos_emb", cache.numTokens)); // (emb_dim)
      for (let block = 0; block < n_layers; block++) {
        const name = `trf_blocks.${block}`;
        x = add(x, this.attend(block, this.norm(`${name}.norm1`, x), cache));
        const hidden = this.linear(`${name}.ff.layers.0`, this.norm(`${name}.norm2`, x)).map(gelu); // (4 * emb_dim)
        x = add(x, this.linear(`${name}.ff.layers.2`, hidden));
      }
      cache.numTokens++;
      return this.linear("out_head", this.norm("final_norm", x));
    });
  }

  row(name, index) {
    return this.parts[name].weight.subarray(index * this.cfg.emb_dim, (index + 1) * this.cfg.emb_dim);
  }

  norm(name, x) {
    return layerNorm(x, this.parts[name].scale, this.parts[name].shift);
  }

  /** (in_features) -> (out_features): each row of the weight (out_features, in_features) times x. */
  linear(name, x) {
    const { weight, bias } = this.parts[name], y = new Float32Array(weight.length / x.length);
    for (let row = 0, place = 0; row < y.length; row++) {
      let a = 0, b = 0, c = 0, d = 0; // in_features is a multiple of 4, and no sum waits for another: a third quicker
      for (let i = 0; i < x.length; i += 4, place += 4) {
        a += weight[place] * x[i];
        b += weight[place + 1] * x[i + 1];
        c += weight[place + 2] * x[i + 2];
        d += weight[place + 3] * x[i + 3];
      }
      y[row] = a + b + c + d + (bias ? bias[row] : 0);
    }
    return y;
  }

  /** One block's attention for one new token: (emb_dim) -> (emb_dim). It needs no mask: no future is there yet. */
  attend(block, x, { keys, values, attention, numTokens }) {
    const { emb_dim, n_heads } = this.cfg, head_dim = emb_dim / n_heads, name = `trf_blocks.${block}.att`;
    const query = this.linear(`${name}.W_query`, x), context = new Float32Array(emb_dim);
    keys[block].set(this.linear(`${name}.W_key`, x), numTokens * emb_dim);
    values[block].set(this.linear(`${name}.W_value`, x), numTokens * emb_dim);
    for (let head = 0; head < n_heads; head++) {
      const from = head * head_dim, scores = new Float32Array(numTokens + 1);
      for (let token = 0; token <= numTokens; token++) {
        for (let i = from; i < from + head_dim; i++) scores[token] += query[i] * keys[block][token * emb_dim + i];
        scores[token] /= Math.sqrt(head_dim);
      }
      const weights = softmax(scores);
      for (let token = 0; token <= numTokens; token++)
        for (let i = from; i < from + head_dim; i++) context[i] += weights[token] * values[block][token * emb_dim + i];
      attention[block][head][numTokens] = weights;
    }
    return this.linear(`${name}.out_proj`, context);
  }
}

// ---- What explorers are made of

const OF_SVG = new Set(["svg", "g", "path", "line", "rect", "text", "circle"]);

/** An element with attributes ("on..." is what it listens to) and children; a string becomes text, whatever it says. */
function make(tag, attributes = {}, ...children) {
  const space = OF_SVG.has(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A slider over numbers, or over positions with names. */
function slider(label, min, max, step, value, say = fixed) {
  const input = make("input", { type: "range", min, max, step, value });
  const output = make("span", { class: "number", "aria-hidden": "true" }); // a screen reader has it from the slider
  const tell = () => {
    output.textContent = say(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", tell);
  tell();
  const set = (number, most = input.max) => { input.max = most; input.value = number; tell(); };
  return { node: make("label", {}, `${label} `, input, output), value: () => Number(input.value), set };
}

/** One of several, as radio buttons: `options` are pairs [name, value]. */
function choice(label, options) {
  const group = `live-${Math.random()}`; // radio buttons of one choice share a name, which nobody else on the page has
  const inputs = options.map((_, i) => make("input", { type: "radio", name: group, value: i }));
  inputs[0].defaultChecked = true;
  const labels = options.map(([name], i) => make("label", {}, inputs[i], ` ${name}`));
  const set = (value) => { inputs[options.findIndex((option) => option[1] === value)].checked = true; };
  const value = () => options[inputs.findIndex((input) => input.checked)][1];
  return { node: make("fieldset", {}, make("legend", {}, label), ...labels), value, set };
}

function textBox(label, text) {
  const input = make("input", { type: "text", value: text, spellcheck: "false", autocomplete: "off" });
  return { node: make("label", { class: "wide" }, `${label} `, input), value: () => input.value };
}

const button = (name, press) => make("button", { type: "button", onclick: press }, name);

/**
 * Controls above a view that follows them. `view(values)` returns a sentence that says what is shown, and drawings.
 * What it refuses by a RangeError is said in a line, and the last good view stays. Returns what draws everything anew.
 */
function explorer(element, title, controls, view, others = []) {
  const problem = make("p", { role: "alert" }), words = make("p", { role: "status" });
  const drawing = make("div", { class: "drawing" });
  const redraw = () => {
    try {
      const values = Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value()]));
      const [sentence, ...nodes] = view(values);
      drawing.replaceChildren(...nodes);
      words.textContent = sentence;
      problem.textContent = "";
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problem.textContent = `Not possible: ${error.message}`;
    }
  };
  const nodes = Object.values(controls).map((control) => control.node);
  element.replaceChildren(make("section", { class: "gptcore-live", "aria-label": title }, make("strong", {}, title),
    make("div", { class: "controls", oninput: redraw }, ...nodes), problem, ...others, words, drawing));
  redraw();
  return redraw;
}

const LONGEST_TEXT = 400; // letters: what fits on a screen

function checkText(text) {
  const length = [...text].length;
  if (!length) throw new RangeError('text is empty; the model needs at least one token, for example "Hello"');
  if (length <= LONGEST_TEXT) return;
  throw new RangeError(`the text has ${length} characters; ${LONGEST_TEXT} fit here, so use fewer`);
}

/** As Python writes a number: of two decimals that are equally near, the even one. */
function fixed(number, digits = 2) {
  const scaled = Math.abs(number) * 10 ** digits, down = Math.floor(scaled);
  const isTie = scaled - down === 0.5 && down % 2 === 0;
  return (isTie ? (Math.sign(number) * down) / 10 ** digits : number).toFixed(digits);
}

const many = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const percent = (share) => (share < 0.995 ? `${Number((100 * share).toPrecision(2))}%` : "100%");
const largest = (numbers) => numbers.reduce((best, number, i) => (number > numbers[best] ? i : best), 0);

/** Tokens in a row, each with something below it. */
const chips = (pairs) =>
  make("ol", { class: "chips" }, ...pairs.map(([name, below]) => make("li", {}, name, make("small", {}, below))));

/** Ten rows with a token, a bar and a percentage that `show` fills; with `press`, the tokens are buttons. */
function tenLikeliest(press) {
  const rows = Array.from({ length: 10 }, (_, i) => ({
    name: press ? button("", () => press(i)) : make("span"), bar: make("i"), share: make("span"),
  }));
  const items = rows.map(({ name, bar, share }) => make("li", {}, name, make("span", { class: "bar" }, bar), share));
  const show = (names, shares) => rows.forEach(({ name, bar, share }, i) => {
    name.textContent = names[i];
    bar.style.width = `${(100 * shares[i]) / shares[0]}%`;
    share.textContent = percent(shares[i]);
  });
  return { node: make("ol", { class: "likeliest", "aria-label": "the ten likeliest next tokens" }, ...items), show };
}

/** Axes to draw into: `at(x, y)` is a place in the picture, `x` and `y` are [lowest, highest, what it is, ticks]. */
function chart(title, x, y, { logX = false } = {}) {
  const [width, height, left, top, right, bottom] = [340, 230, 44, 24, 10, 36], scaled = logX ? Math.log : Number;
  const share = (value, low, high, scale) => (scale(value) - scale(low)) / (scale(high) - scale(low));
  const px = (value) => left + share(value, x[0], x[1], scaled) * (width - left - right);
  const py = (value) => height - bottom - share(value, y[0], y[1], Number) * (height - top - bottom);
  const at = (a, b) => `${px(a).toFixed(1)} ${py(b).toFixed(1)}`;
  const node = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
    make("text", { x: width / 2, y: 14, class: "title" }, title),
    make("text", { x: width / 2, y: height - 4, class: "middle" }, x[2]),
    make("text", { x: 11, y: height / 2, class: "middle", transform: `rotate(-90 11 ${height / 2})` }, y[2]),
    ...x[3].flatMap((tick) => [make("path", { class: "grid", d: `M${at(tick, y[0])}L${at(tick, y[1])}` }),
      make("text", { x: px(tick), y: height - bottom + 13, class: "middle" }, String(tick))]),
    ...y[3].flatMap((tick) => [make("path", { class: "grid", d: `M${at(x[0], tick)}L${at(x[1], tick)}` }),
      make("text", { x: left - 5, y: py(tick) + 4, class: "end" }, String(tick))]));
  return {
    node, px, py,
    line: (xs, ys, look) =>
      node.append(make("path", { class: `line ${look}`, d: `M${xs.map((value, i) => at(value, ys[i])).join("L")}` })),
    text: (a, b, words, look = "") => node.append(make("text", { x: px(a), y: py(b), class: look }, words)),
  };
}

/** A square for each weight, its area in proportion to it, in cells of so many pixels: the `d` of one path. */
const squares = (rows, cell) => rows.map((row, y) => Array.from(row, (weight, x) => {
  const side = Number((0.94 * cell * Math.sqrt(weight)).toFixed(1)), before = (cell - side) / 2;
  return side < 0.5 ? "" : `M${x * cell + before} ${y * cell + before}h${side}v${side}h-${side}z`;
}).join("")).join("");

const short = (name) => ([...name].length > 15 ? `${[...name].slice(0, 14).join("")}…` : name);

/** Weights with the names of rows and columns, and a frame around one row. */
function lookMap(title, rows, rowNames, columnNames, framed) {
  const cell = 15, [width, height] = [columnNames.length * cell, rows.length * cell], all = 104 + Math.max(width, 190);
  const below = (i) => `translate(${i * cell + 11} ${height + 8}) rotate(-60)`;
  const look = { viewBox: `0 0 ${all} ${height + 116}`, class: "map", style: `max-width: ${all * 1.2}px` };
  return make("svg", { ...look, role: "img", "aria-label": title },
    make("text", { x: all / 2, y: 13, class: "title" }, title),
    make("g", { transform: "translate(102 22)" },
      make("rect", { width, height, class: "frame" }),
      make("path", { d: squares(rows, cell), class: "ink" }),
      make("rect", { y: framed * cell, width, height: cell, class: "framed" }),
      ...rowNames.map((name, i) => make("text", { x: -5, y: i * cell + 11, class: "end" }, short(name))),
      ...columnNames.map((name, i) => make("text", { class: "end", transform: below(i) }, short(name)))));
}

// ---- The explorers: each is given the element in which it lives and the shelf with the files

async function story(element, shelf) {
  const [model, tokenizer] = await Promise.all([shelf.model(), shelf.tokenizer("stories")]);
  const most = model.cfg.context_length, cache = new KVCache(model.cfg);
  let prompt, written = [], read = [], best, playing; // `written` are the new ids, `read` those that are in the cache

  const view = (values) => {
    checkText(values.prompt);
    const begun = tokenizer.encode(END_OF_TEXT + values.prompt);
    if (begun.length >= most)
      throw new RangeError(`the beginning has ${begun.length} tokens; ${most - 1} leave room, so use fewer`);
    if (prompt !== values.prompt) [prompt, written] = [values.prompt, []];
    const ids = [...begun, ...written], differ = ids.findIndex((id, i) => id !== read[i]);
    // What both texts begin with need not be read again, only at least one token for its answer.
    cache.numTokens = Math.min(differ < 0 ? ids.length : differ, ids.length - 1);
    const shares = softmax(model.forward(ids.slice(cache.numTokens), cache).at(-1));
    read = ids;
    best = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]).slice(0, 10);
    rows.show(best.map((id) => tokenizer.visible(id)), best.map((id) => shares[id]));
    const entropy = -sum(shares.map((share) => (share ? share * Math.log(share) : 0)));
    text.replaceChildren(prompt, make("u", {}, tokenizer.decode(written)));
    const next = `Next: ${tokenizer.visible(best[0])}, ${percent(shares[best[0]])}. Entropy ${fixed(entropy)}.`;
    const full = ids.length === most ? ` The model reads ${most} tokens: no more fit.` : "";
    const end = written.at(-1) === tokenizer.endOfText ? " The story has ended." : full;
    return [`${many(written.length, "token")} written. ${next}${end}`];
  };
  const write = (rank) => {
    const refused = prompt !== controls.prompt.value();
    if (refused || read.length === most || written.at(-1) === tokenizer.endOfText) return stop();
    written.push(best[rank]);
    redraw();
  };
  const stop = () => { clearInterval(playing); playing = undefined; play.textContent = "Play"; };
  const go = () => { playing = setInterval(() => write(0), 400); play.textContent = "Pause"; };
  const change = (how) => () => { stop(); how(); };
  const play = button("Play", () => (playing ? stop() : go()));
  const keep = (number) => change(() => { written.length = number(); redraw(); });
  const buttons = make("p", { class: "controls" }, button("Step", change(() => write(0))), play,
    button("Back", keep(() => Math.max(written.length - 1, 0))), button("Reset", keep(() => 0)));
  const rows = tenLikeliest((rank) => change(() => write(rank))()), text = make("p", { class: "text" });
  const note = make("p", {}, "Step takes the likeliest token. Press another one, and the story takes another way.");
  const controls = { prompt: textBox("beginning", "One day Anna") };
  const redraw = explorer(element, "Write a story, token by token", controls, view, [buttons, text, note, rows.node]);
}

async function attention(element, shelf) {
  const [model, tokenizer] = await Promise.all([shelf.model(), shelf.tokenizer("stories")]);
  const { n_layers, n_heads } = model.cfg, most = 24;
  const numbers = (length) => Array.from({ length }, (_, i) => [String(i), i]);
  let read, cache, ids;
  const controls = {
    text: textBox("sentence", "One day Anna met a fox. The fox asked Anna"),
    block: choice("block", numbers(n_layers)),
    head: choice("head", numbers(n_heads)),
    row: slider("token that looks", 0, 0, 1, 0, (position) => (ids ? tokenizer.visible(ids[position]) : "")),
  };
  const view = ({ text, block, head, row }) => {
    if (text !== read) {
      checkText(text);
      const found = tokenizer.encode(END_OF_TEXT + text);
      if (found.length > most)
        throw new RangeError(`the sentence has ${found.length} tokens; ${most} fit into the picture, so use fewer`);
      [read, ids, cache] = [text, found, new KVCache(model.cfg)];
      model.forward(ids, cache);
      controls.row.set(row = ids.length - 1, ids.length - 1);
    }
    const names = ids.map((id) => tokenizer.visible(id)), weights = cache.attention[block][head], looks = weights[row];
    const name = (position) => `${names[position]} (position ${position})`, first = largest(looks);
    const look = { viewBox: `0 0 ${4 * ids.length} ${4 * ids.length}`, role: "img" };
    const small = cache.attention.flatMap((heads, b) => heads.map((rows, h) => make("svg",
      { ...look, class: b === block && h === head ? "chosen" : "", "aria-label": `block ${b}, head ${h}`,
        onclick: () => { controls.block.set(b); controls.head.set(h); redraw(); } },
      make("path", { d: squares(rows, 4), class: "ink" }))));
    return [
      `Block ${block}, head ${head}: ${name(row)} gives its largest weight, ${fixed(looks[first])}, to ${name(first)}.`,
      make("div", { class: "small-maps", style: `--columns: ${n_heads}` }, ...small),
      lookMap(`block ${block}, head ${head}: row looks at column`, weights, names, names, row),
      make("div", { class: "wide" }, `What ${name(row)} looks at; the weights sum to 1:`,
        chips(Array.from(looks, (weight, i) => [names[i], fixed(weight)]))),
    ];
  };
  const redraw = explorer(element, "Where each head looks: a row a block, a column a head", controls, view);
}

async function timeMachine(element, shelf) {
  const [{ metadata, tensors }, tokenizer] = await Promise.all([shelf.film(), shelf.tokenizer("stories")]);
  const film = JSON.parse(metadata.texts), rows = tenLikeliest(), GLYPHS = "●■▲◆▼✚✖○□";
  const at = (name, moment) => { // one moment of a tensor: its numbers are a piece of all moments'
    const { shape, data } = tensors[name], length = data.length / shape[0];
    return data.subarray(moment * length, (moment + 1) * length);
  };
  const names = film.tokens.map((tokens) => tokens.map((token) => tokenizer.visible(tokenizer.encode(token)[0])));
  const [, n_layers, n_heads] = tensors.attention_0.shape, steps = film.steps.map((step) => Math.max(step, 2));
  const nameOf = (i) => `block ${Math.floor(i / n_heads)}, head ${i % n_heads}`;
  const heads = Array.from({ length: n_layers * n_heads }, (_, i) => nameOf(i));

  const looks = (moment, prompt) => {
    // Of each head the rows of a triangle lie one behind the other, in parts of 255: the last row is the last token's.
    const packed = at(`attention_${prompt}`, moment), length = packed.length / heads.length;
    const lastRow = (i) => packed.subarray((i + 1) * length - names[prompt].length, (i + 1) * length);
    const weights = heads.map((_, i) => Array.from(lastRow(i), (part) => part / 255));
    // Not the beginning of the text, where heads look that look for nothing.
    const best = names[prompt].map((_, token) => largest(weights.map((row) => row[token])));
    const place = 1 + largest(best.slice(1).map((head, i) => weights[head][i + 1])), head = best[place];
    const by = `by head ${head % n_heads} of block ${Math.floor(head / n_heads)}`;
    return [`The strongest look goes to ${names[prompt][place]}: ${fixed(weights[head][place])}, ${by}.`,
      lookMap("where the last token looks, head by head", weights, heads, names[prompt], head)];
  };
  const reach = 1.05 * at("places", film.steps.length - 1).reduce((most, place) => Math.max(most, Math.abs(place)), 0);
  const map = (moment) => {
    const places = at("places", moment), axis = (name) => [-reach, reach, `${name} direction`, []];
    const picture = chart("a map of the words", axis("first"), axis("second"));
    let begin = 0, within = 0;
    const legend = Object.entries(film.words).map(([kind, words], i) => {
      const xs = words.map((_, n) => places[2 * (begin + n)]), ys = words.map((_, n) => places[2 * (begin + n) + 1]);
      begin += words.length;
      within += [xs, ys].reduce((all, side) => all + words.length * meanAndVariance(side)[1], 0);
      xs.forEach((x, n) => picture.text(x, ys[n], GLYPHS[i], `middle look-${i % 3}`));
      return make("li", {}, `${GLYPHS[i]} ${kind}`);
    });
    const share = within / sum(places.map((place) => place ** 2));
    return [`On the map, ${fixed(100 * share, 0)}% of the spread of the words lies within their kinds.`, picture.node,
      make("ul", { class: "legend" }, ...legend)];
  };
  const losses = (moment) => {
    const [everything, again] = [film.losses["all tokens"], film.losses["names again"]];
    const ticks = [5, 20, 100, 500, 2500], title = "two losses of one training";
    const picture = chart(title, [2, 2500, "training step (2 stands for 0)", ticks],
      [0, 8, "loss (nats per token)", [0, 2, 4, 6, 8]], { logX: true });
    picture.line(steps, everything, "look-0");
    picture.line(steps, again, "look-1 dashed");
    picture.line([steps[moment], steps[moment]], [0, 8], "dotted");
    picture.text(6, 6.3, "— all tokens", "look-0");
    picture.text(6, 7.1, "- - names that came before", "look-1");
    const both = `${fixed(everything[moment])} over all tokens, ${fixed(again[moment])} on names that came before`;
    return [`Step ${film.steps[moment]}: loss ${both}.`, picture.node];
  };
  const view = ({ moment, prompt, panel }) => {
    const ids = [...at(`next_ids_${prompt}`, moment)], shares = at(`next_chances_${prompt}`, moment);
    rows.show(ids.map((id) => tokenizer.visible(id)), shares);
    const [lossWords, lossPicture] = losses(moment), [words, ...pictures] = panel(moment, prompt);
    const sample = film.samples[moment].replace(/(?! )[\p{C}\p{Z}]/gu, "\ufffd"); // early on it writes odd things
    return [
      `${lossWords} After the beginning, ${tokenizer.visible(ids[0])} is likeliest. ${words}`,
      make("p", { class: "text" }, make("em", {}, "It writes: "), sample), lossPicture, ...pictures,
      make("div", {}, make("p", {}, make("em", {}, "The beginning: "), film.prompts[prompt]), rows.node),
    ];
  };
  explorer(element, "The film of the story model's training", {
    moment: slider("after step", 0, film.steps.length - 1, 1, 0, (moment) => String(film.steps[moment])),
    prompt: choice("beginning", film.prompts.map((_, i) => [String(i + 1), i])),
    panel: choice("show", [["where it looks", looks], ["a map of its words", map]]),
  }, view);
}

async function tokenizer(element, shelf) {
  const [gpt2, stories] = await Promise.all([shelf.tokenizer("gpt2"), shelf.tokenizer("stories")]);
  const size = (tokenizer) => `${tokenizer.tokens.length.toLocaleString("en")} tokens`;
  const view = ({ text, vocabulary }) => {
    checkText(text);
    const shown = vocabulary.encode(text).map((id) => [vocabulary.visible(id), String(id)]);
    const count = `${many([...text].length, "character")} became ${many(shown.length, "token")}.`;
    return [`${count} ␣ stands for a space.`, chips(shown)];
  };
  explorer(element, "Text as tokens, each with its id", {
    text: textBox("text", "Hello, I am learning"),
    vocabulary: choice("vocabulary", [[`GPT-2's, ${size(gpt2)}`, gpt2], [`the stories', ${size(stories)}`, stories]]),
  }, view);
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x)), density = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);

/** How likely a standard normal number is below x, to 1e-7: Abramowitz and Stegun 1964, formula 26.2.17. */
function below(x) {
  const terms = [1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.31938153];
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const above = density(x) * terms.reduce((all, term) => (all + term) * t, 0);
  return x < 0 ? above : 1 - above;
}

/** Each activation as a function of x and the gate's value that returns its output and its slope. */
export const ACTIVATIONS = {
  "GELU, tanh form (GPT-2)": (x) => {
    const tanh = geluTanh(x), inside = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x); // the slope inside of tanh
    return [gelu(x), 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * inside];
  },
  "GELU, exact": (x) => [x * below(x), below(x) + x * density(x)],
  ReLU: (x) => [Math.max(x, 0), x > 0 ? 1 : 0],
  SiLU: (x) => [x * sigmoid(x), sigmoid(x) * (1 + x * (1 - sigmoid(x)))],
  "SwiGLU gate": (x, value) => ACTIVATIONS.SiLU(x).map((number) => number * value),
};

async function activation(element) {
  const grid = Array.from({ length: 161 }, (_, i) => i / 20 - 4), ticks = [-4, -2, 0, 2, 4];
  const view = ({ name, x, value }) => {
    const [y, slope] = ACTIVATIONS[name](x, value), all = grid.map((each) => ACTIVATIONS[name](each, value));
    const left = chart(name, [-4, 4, "input x", ticks], [-2, 4.5, "output", [-2, 0, 2, 4]]);
    const right = chart("its slope (derivative)", [-4, 4, "input x", ticks], [-1.5, 2.2, "slope", [-1, 0, 1, 2]]);
    left.line([x - 1, x + 1], [y - slope, y + slope], "look-1 dashed");
    [left, right].forEach((picture, i) => {
      picture.line(grid, all.map((pair) => pair[i]), "look-0");
      picture.node.append(make("circle", { cx: picture.px(x), cy: picture.py([y, slope][i]), r: 5 }));
    });
    const gate = name === "SwiGLU gate" ? ` with value ${fixed(value, 1)}` : "";
    const words = `at x = ${fixed(x)} the output is ${fixed(y, 3)} and the slope is ${fixed(slope, 3)}.`;
    return [`${name}${gate}: ${words}`, left.node, right.node];
  };
  explorer(element, "An activation and its slope", {
    name: choice("function", Object.keys(ACTIVATIONS).map((name) => [name, name])),
    x: slider("x", -4, 4, 0.05, 1),
    value: slider("value (SwiGLU only)", -2, 2, 0.1, 1, (number) => fixed(number, 1)),
  }, view);
}

async function layerNormExplorer(element) {
  const start = [3, -1, 0.5, 2], names = start.map((_, i) => `x${i}`);
  const bars = (title, numbers) => {
    const [first, last] = [-0.5, names.length - 0.5];
    const picture = chart(title, [first, last, "feature", []], [-12, 12, "activation", [-10, -5, 0, 5, 10]]);
    picture.line([first, last], [0, 0], "");
    numbers.forEach((number, i) => {
      const [y, bottom] = [Math.max(number, 0), Math.min(number, 0)].map(picture.py), x = picture.px(i - 0.3);
      picture.node.append(make("rect", { x, y, width: picture.px(i + 0.3) - x, height: bottom - y, class: "ink" }));
      picture.text(i, number < 0 ? number - 1.6 : number + 0.5, fixed(number), "middle");
      picture.text(i, -11.7, names[i], "middle");
    });
    return picture.node;
  };
  const view = ({ scale, shift, eps, ...x }) => {
    const before = Object.values(x), all = (number) => before.map(() => number);
    const after = layerNorm(before, all(scale), all(shift), eps);
    const say = ([mean, variance]) => `mean ${fixed(mean)}, variance ${fixed(variance)}`.replace("-0.00", "0.00");
    const words = `Before: ${say(meanAndVariance(before))}. After: ${say(meanAndVariance(after))}.`;
    return [words, bars("before", before), bars("after layer norm", after)];
  };
  explorer(element, "Layer norm of one token's activations", {
    ...Object.fromEntries(names.map((name, i) => [name, slider(name, -10, 10, 0.1, start[i])])),
    scale: slider("scale", -2, 3, 0.1, 1),
    shift: slider("shift", -3, 3, 0.1, 0),
    eps: choice("eps", [["0.00001 (GPT-2)", 1e-5], ["0.1", 0.1], ["1", 1], ["10", 10]]),
  }, view);
}

// ---- How they come to life

const EXPLORERS = { story, attention, time_machine: timeMachine, tokenizer, activation, layer_norm: layerNormExplorer };

/** The files that explorers need, each opened when the first of them asks, by `open(name)`, a promise of its bytes. */
export function shelfOf(open) {
  const opened = {}, once = (name, read) => (opened[name] ??= open(name).then(read));
  return {
    model: () => once("stories.safetensors", (buffer) => new GPT(readSafetensors(buffer))),
    film: () => once("film.safetensors", readSafetensors),
    tokenizer: (name) => once(`${name}.tiktoken`, (buffer) => new Tokenizer(buffer)),
  };
}

/** Fetches files from beside this address. */
const fetchedFrom = (base) => async (name) => {
  const answer = await fetch(new URL(name, base)).catch(() => ({ statusText: "no answer" }));
  if (answer.ok) return answer.arrayBuffer();
  throw new Error(`${name} did not come (${answer.status ?? ""} ${answer.statusText}); load the page again`);
};

/** Bring an explorer to life. What stood in the element stays until it is there, or beside the reason why it is not. */
export async function start(element, name, shelf) {
  try {
    if (!Object.hasOwn(EXPLORERS, name)) throw new Error(`there is no explorer "${name}"`);
    await EXPLORERS[name](element, shelf);
    element.dataset.alive = name;
  } catch (error) {
    element.append(make("p", { role: "alert" }, `This explorer could not come to life: ${error.message}`));
  }
}

/** In a notebook, by anywidget: gptcore/pages/widget.py brings the files. */
export default {
  render: ({ model, el }) => {
    // What has the focus keeps its keys: JupyterLab would move from cell to cell by the arrows.
    el.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", ""));
    const files = model.get("files"); // DataViews by their names
    start(el, model.get("name"), shelfOf(async (name) => {
      const { buffer, byteOffset, byteLength } = files[name];
      return buffer.slice(byteOffset, byteOffset + byteLength);
    }));
  },
};

/** In a page: each place comes to life shortly before it is seen. */
function startPage(places) {
  document.head.append(make("link", { rel: "stylesheet", href: new URL("live.css", import.meta.url) }));
  const shelf = shelfOf(fetchedFrom(import.meta.url));
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) {
        watch.unobserve(target);
        start(target, target.dataset.explorer, shelf);
      }
  }, { rootMargin: "300px" });
  places.forEach((place) => watch.observe(place));
}

const places = globalThis.document?.querySelectorAll(".live[data-explorer]") ?? [];
if (places.length) startPage(places);
