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

export const readJson = (buffer) => JSON.parse(new TextDecoder().decode(buffer));

/** Read a safetensors file: 8 bytes say how long its header is, which is JSON; behind it lie the numbers. */
export function readSafetensors(buffer) {
  const begin = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__: metadata, ...entries } = readJson(new Uint8Array(buffer, 8, begin - 8));
  const arrays = { F32: Float32Array, I8: Int8Array }, tensors = {};
  for (const [name, { dtype, data_offsets: [from, to] }] of Object.entries(entries))
    tensors[name] = new arrays[dtype](buffer.slice(begin + from, begin + to));
  return { metadata, tensors };
}

// ---- The tokenizer

const END_OF_TEXT = "<|endoftext|>";
// Into such pieces GPT-2 cuts a text first. JavaScript's own \s is another set of letters than White_Space.
const PIECES = new RegExp(
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+" +
    "|\\p{White_Space}+$|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}", "gu");

/** GPT-2's byte-pair encoding, from all tokens in the order of their ranks: strings with one letter for each byte. */
export class Tokenizer {
  constructor(tokens) {
    this.tokens = [...tokens, END_OF_TEXT];
    this.ranks = new Map(tokens.map((token, rank) => [token, rank]));
    this.endOfText = tokens.length;
  }

  /** Text -> ids (num_tokens); "<|endoftext|>" becomes its one id, half a UTF-16 pair what "\ufffd" becomes. */
  encode(text) {
    return text.split(END_OF_TEXT).flatMap((part, index) => {
      const pieces = (part.match(PIECES) ?? []).map((piece) => new TextEncoder().encode(piece));
      const ids = pieces.flatMap((bytes) => this.merge(Array.from(bytes, (byte) => String.fromCharCode(byte))));
      return index ? [this.endOfText, ...ids] : ids;
    });
  }

  /** Join the two neighbours with the lowest rank, again and again: the bytes of a piece -> ids. */
  merge(parts) {
    for (;;) {
      const ranks = parts.slice(1).map((part, i) => this.ranks.get(parts[i] + part) ?? Infinity);
      const lowest = Math.min(...ranks), place = ranks.indexOf(lowest);
      if (lowest === Infinity) return parts.map((part) => this.ranks.get(part));
      parts.splice(place, 2, parts[place] + parts[place + 1]);
    }
  }

  /** Ids -> text; bytes that are no letter become "\ufffd", or with `fatal` raise a TypeError. */
  decode(ids, fatal = false) {
    const letters = ids.map((id) => this.tokens[id]).join("");
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return new TextDecoder("utf-8", { ignoreBOM: true, fatal }).decode(bytes);
  }

  /** A token's text with spaces and line ends made visible; its bytes when nobody would see it as a letter. */
  visible(id) {
    try {
      const text = this.decode([id], true).replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
      if (!/[\p{C}\p{Z}]/u.test(text)) return text; // a control character would leave an empty place
    } catch { /* part of a letter */ }
    return Array.from(this.tokens[id], (letter) => letter.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
  }
}

// ---- The model

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const add = (x, y) => x.map((number, i) => number + y[i]);

/** The product of x, whose length is a multiple of 4, with as many numbers from a place on. */
function dot(x, numbers, place) {
  let product = 0;
  for (let i = 0; i < x.length; i += 4, place += 4) // four in a line that need not wait for each other: a third quicker
    product += x[i] * numbers[place] + x[i + 1] * numbers[place + 1] +
      x[i + 2] * numbers[place + 2] + x[i + 3] * numbers[place + 3];
  return product;
}

/** Scores -> shares of 1. */
export function softmax(scores) {
  const most = Math.max(...scores), shares = scores.map((score) => Math.exp(score - most)), all = sum(shares);
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

const gelu = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** The keys and values of the tokens that a model has read, and where each of them looked. */
export class KVCache {
  constructor({ n_layers, n_heads }) {
    const blocks = Array.from({ length: n_layers });
    this.keys = blocks.map(() => []); // [block][token]: (emb_dim)
    this.values = blocks.map(() => []);
    this.attention = blocks.map(() => Array.from({ length: n_heads }, () => [])); // [block][head][token that looks]
    this.numTokens = 0; // make it smaller, and the last tokens are forgotten
  }
}

/** A GPT-2: gptcore's GPTModel, with the same names of its parts, from a file that gptcore/pages/live.py writes. */
export class GPT {
  constructor({ metadata, tensors }) {
    this.cfg = JSON.parse(metadata.config);
    this.parts = {}; // {"trf_blocks.0.norm1": {scale, shift}, "out_head": {weight}, ...}
    for (const [name, stored] of Object.entries(tensors)) {
      const [, part, key] = name.match(/(.*)\.(.*)/), scales = tensors[`${name}.scale`];
      const numbers = new Float32Array(stored), columns = numbers.length / scales?.length;
      // In int8, whole numbers and a scale for each row are stored; in memory they are ordinary numbers again.
      if (scales) numbers.forEach((whole, i) => { numbers[i] = whole * scales[Math.floor(i / columns)]; });
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
    for (let row = 0; row < y.length; row++) y[row] = dot(x, weight, row * x.length) + (bias?.[row] ?? 0);
    return y;
  }

  /** One block's attention for one new token: (emb_dim) -> (emb_dim). It needs no mask: no future is there yet. */
  attend(block, x, { keys, values, attention, numTokens }) {
    const { emb_dim, n_heads } = this.cfg, head_dim = emb_dim / n_heads, name = `trf_blocks.${block}.att`;
    const query = this.linear(`${name}.W_query`, x), context = new Float32Array(emb_dim);
    keys[block][numTokens] = this.linear(`${name}.W_key`, x);
    values[block][numTokens] = this.linear(`${name}.W_value`, x);
    for (let head = 0; head < n_heads; head++) {
      const from = head * head_dim, to = from + head_dim, part = query.subarray(from, to); // (head_dim)
      const scores = new Float32Array(numTokens + 1);
      for (let token = 0; token <= numTokens; token++)
        scores[token] = dot(part, keys[block][token], from) / Math.sqrt(head_dim);
      const weights = softmax(scores);
      for (let token = 0; token <= numTokens; token++)
        for (let i = from; i < to; i++) context[i] += weights[token] * values[block][token][i];
      attention[block][head][numTokens] = weights;
    }
    return this.linear(`${name}.out_proj`, context);
  }
}

// ---- What explorers are made of

const OF_SVG = new Set(["svg", "g", "path", "rect", "text"]);

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
  const output = make("span", { class: "number", "aria-hidden": "true" }); // a screen reader has it from the slider
  const tell = () => { input.ariaValueText = output.textContent = say(input.valueAsNumber); };
  const input = make("input", { type: "range", min, max, step, value, oninput: tell });
  tell();
  const set = (number, most) => { input.max = most; input.value = number; tell(); };
  return { node: make("label", {}, `${label} `, input, output), value: () => input.valueAsNumber, set };
}

/** One of several, as radio buttons: `options` are pairs [name, value]. */
function choice(label, options) {
  const group = `live-${Math.random()}`; // radio buttons of one choice share a name, which nobody else on the page has
  const inputs = options.map(() => make("input", { type: "radio", name: group }));
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

function checkLength(what, length, unit, most, why) {
  if (length > most) throw new RangeError(`the ${what} has ${length} ${unit}; ${most} ${why}, so use fewer`);
}

function checkText(text) {
  if (!text) throw new RangeError('text is empty; the model needs at least one token, for example "Hello"');
  checkLength("text", [...text].length, "characters", 400, "fit here"); // on a screen
}

/** As Python's f"{number:z.2f}": of two decimals that are equally near, the even one, and never "-0.00". */
export function fixed(number, digits = 2) {
  const scaled = number * 10 ** digits, isHalf = Math.abs(scaled % 1) === 0.5;
  const isTie = isHalf && Number.isInteger(number * 2 ** (digits + 1)); // half way itself, not only its product
  const rounded = isTie ? (2 * Math.round(scaled / 2)) / 10 ** digits : number;
  return rounded.toFixed(digits).replace(/^-([0.]+)$/, "$1");
}

const many = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const percent = (share) => (share < 0.995 ? `${Number((100 * share).toPrecision(2))}%` : "100%");

/** Tokens in a row, each with something below it. */
const chips = (pairs) =>
  make("ol", { class: "chips" }, ...pairs.map(([name, below]) => make("li", {}, name, make("small", {}, below))));

/** Ten rows with a token, a bar and a percentage that `show` fills; with `press`, the tokens are buttons. */
function tenLikeliest(press) {
  const token = (rank) => (press ? button("", () => press(rank)) : make("span"));
  const rows = Array.from({ length: 10 }, (_, rank) => [token(rank), make("i"), make("span")]);
  const show = (names, shares) => rows.forEach(([token, bar, share], i) => {
    token.textContent = names[i];
    bar.style.width = `${(100 * shares[i]) / shares[0]}%`;
    share.textContent = percent(shares[i]);
  });
  const items = rows.map((row) => make("li", {}, ...row));
  return { node: make("ol", { class: "likeliest", "aria-label": "the ten likeliest next tokens" }, ...items), show };
}

/** Lines [look, xs, ys] and texts [look, x, y, words] on axes: `x` and `y` are [lowest, highest, name, ticks]. */
function chart(title, x, y, lines, texts = [], scale = Number) { // `scale` is Math.log for a logarithmic x
  const [left, right, top, bottom] = [44, 324, 24, 194]; // of 340 times 230
  const px = (value) => left + ((right - left) * (scale(value) - scale(x[0]))) / (scale(x[1]) - scale(x[0]));
  const py = (value) => bottom + ((top - bottom) * (value - y[0])) / (y[1] - y[0]);
  const point = (a, b) => `${px(a).toFixed(1)} ${py(b).toFixed(1)}`;
  const path = (look, xs, ys) => make("path", { class: look, d: `M${xs.map((a, i) => point(a, ys[i])).join("L")}` });
  const text = (look, left, top, words, more) => make("text", { class: look, x: left, y: top, ...more }, words);
  return make("svg", { viewBox: "0 0 340 230", role: "img", "aria-label": title },
    text("title", 170, 14, title),
    text("middle", 170, 226, x[2]),
    text("middle", 11, 115, y[2], { transform: "rotate(-90 11 115)" }),
    ...x[3].flatMap((tick) => [path("grid", [tick, tick], y), text("middle", px(tick), bottom + 13, tick)]),
    ...y[3].flatMap((tick) => [path("grid", [x[0], x[1]], [tick, tick]), text("end", left - 5, py(tick) + 4, tick)]),
    ...lines.map(([look, xs, ys]) => path(`line ${look}`, xs, ys)),
    ...texts.map(([look, a, b, words]) => text(look, px(a), py(b), words)));
}

/** A square for each weight, its area in proportion to it, in cells of so many pixels: the `d` of one path. */
const squares = (rows, cell) => rows.map((row, y) => Array.from(row, (weight, x) => {
  const side = Number((0.94 * cell * Math.sqrt(weight)).toFixed(1)), before = (cell - side) / 2;
  return side < 0.5 ? "" : `M${x * cell + before} ${y * cell + before}h${side}v${side}h-${side}z`;
}).join("")).join("");

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
      ...rowNames.map((name, i) => make("text", { x: -5, y: i * cell + 11, class: "end" }, name)),
      ...columnNames.map((name, i) => make("text", { class: "end", transform: below(i) }, name))));
}

// ---- The explorers: each is given the element in which it lives and the shelf with the files

async function story(element, shelf) {
  const [model, tokenizer] = await Promise.all([shelf.model(), shelf.tokenizer("stories")]);
  const most = model.cfg.context_length, cache = new KVCache(model.cfg);
  let prompt, written = [], read = []; // `written` are the new ids, `read` those that are in the cache
  let best, end, playing; // the ten likeliest ids; why nothing can follow, or ""; the clock that presses Step

  const view = (values) => {
    checkText(values.prompt);
    const begun = tokenizer.encode(END_OF_TEXT + values.prompt);
    checkLength("beginning", begun.length, "tokens", most - 1, "leave room");
    if (prompt !== values.prompt) [prompt, written] = [values.prompt, []];
    const ids = [...begun, ...written];
    // What both texts begin with need not be read again, only at least one token for its answer.
    cache.numTokens = ids.findIndex((id, i) => id !== read[i] || i === ids.length - 1);
    const shares = softmax(model.forward(ids.slice(cache.numTokens), cache).at(-1));
    read = ids;
    best = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 10);
    rows.show(best.map((id) => tokenizer.visible(id)), best.map((id) => shares[id]));
    const entropy = -sum(shares.map((share) => (share ? share * Math.log(share) : 0)));
    text.replaceChildren(prompt, make("u", {}, tokenizer.decode(written)));
    const next = `Next: ${tokenizer.visible(best[0])}, ${percent(shares[best[0]])}. Entropy ${fixed(entropy)}.`;
    end = ids.length === most ? ` The model reads ${most} tokens: no more fit.` : "";
    if (written.at(-1) === tokenizer.endOfText) end = " The story has ended.";
    return [`${many(written.length, "token")} written. ${next}${end}`];
  };
  const write = (rank) => {
    // Nothing follows what was refused, and nobody reads in a place that has gone from the page.
    if (end || prompt !== controls.prompt.value() || !element.isConnected) return pause();
    written.push(best[rank]);
    redraw();
  };
  const pause = () => { clearInterval(playing); playing = undefined; play.textContent = "Play"; };
  const go = () => { playing = setInterval(write, 400, 0); play.textContent = "Pause"; };
  const play = button("Play", () => (playing ? pause() : go()));
  const choose = (rank) => { pause(); write(rank); };
  const keep = (last) => { pause(); written = written.slice(0, last); redraw(); };
  const buttons = make("p", { class: "controls" }, button("Step", () => choose(0)), play,
    button("Back", () => keep(-1)), button("Reset", () => keep(0)));
  const rows = tenLikeliest(choose), text = make("p", { class: "text" });
  const note = make("p", {}, "Step takes the likeliest token. Press another one, and the story takes another way.");
  const controls = { prompt: textBox("beginning", "One day Anna") };
  const redraw = explorer(element, "Write a story, token by token", controls, view, [buttons, text, note, rows.node]);
}

async function attention(element, shelf) {
  const [model, tokenizer] = await Promise.all([shelf.model(), shelf.tokenizer("stories")]);
  const { n_layers, n_heads } = model.cfg;
  const numbers = (length) => Array.from({ length }, (_, i) => [i, i]);
  let read, cache, names = [""];
  const controls = {
    text: textBox("sentence", "One day Anna met a fox. The fox asked Anna"),
    block: choice("block", numbers(n_layers)),
    head: choice("head", numbers(n_heads)),
    row: slider("token that looks", 0, 0, 1, 0, (position) => names[position]),
  };
  const view = ({ text, block, head, row }) => {
    if (text !== read) {
      checkText(text);
      const ids = tokenizer.encode(END_OF_TEXT + text);
      checkLength("sentence", ids.length, "tokens", 24, "fit into the picture");
      [read, cache, names] = [text, new KVCache(model.cfg), ids.map((id) => tokenizer.visible(id))];
      model.forward(ids, cache);
      row = ids.length - 1;
      controls.row.set(row, row);
    }
    const weights = cache.attention[block][head], looks = Array.from(weights[row]);
    const name = (position) => `${names[position]} (position ${position})`, largest = Math.max(...looks);
    const look = { viewBox: `0 0 ${4 * names.length} ${4 * names.length}`, role: "img" };
    const small = cache.attention.flatMap((heads, b) => heads.map((rows, h) => make("svg",
      { ...look, class: b === block && h === head ? "chosen" : "", "aria-label": `block ${b}, head ${h}`,
        onclick: () => { controls.block.set(b); controls.head.set(h); redraw(); } },
      make("path", { d: squares(rows, 4), class: "ink" }))));
    const said = `${name(row)} gives its largest weight, ${fixed(largest)}, to ${name(looks.indexOf(largest))}.`;
    return [
      `Block ${block}, head ${head}: ${said}`,
      make("div", { class: "small-maps", style: `--columns: ${n_heads}` }, ...small),
      lookMap(`block ${block}, head ${head}: row looks at column`, weights, names, names, row),
      make("div", { class: "wide" }, `What ${name(row)} looks at; the weights sum to 1:`,
        chips(looks.map((weight, i) => [names[i], fixed(weight)]))),
    ];
  };
  const redraw = explorer(element, "Where each head looks: a row a block, a column a head", controls, view);
}

async function timeMachine(element, shelf) {
  const [film, tokenizer] = await Promise.all([shelf.data("film"), shelf.tokenizer("stories")]);
  const rows = tenLikeliest(), GLYPHS = "●■▲◆▼✚✖○□";
  const namesOf = (ids) => ids.map((id) => tokenizer.visible(id));
  const heads = film.heads.map(([block, head]) => `block ${block}, head ${head}`);
  const looks = ({ beginnings }, prompt) => {
    const { weights, strongest: [row, token] } = beginnings[prompt], [block, head] = film.heads[row];
    const names = namesOf(film.tokens[prompt]), strongest = fixed(weights[row][token]);
    return [`The strongest look goes to ${names[token]}: ${strongest}, by head ${head} of block ${block}.`,
      lookMap("where the last token looks, head by head", weights, heads, names, row)];
  };
  const map = ({ places, within }) => {
    const axis = (name) => [-film.reach, film.reach, `${name} direction`, []];
    const words = places.flatMap((ofKind, i) => ofKind.map((place) => [`middle look-${i % 3}`, ...place, GLYPHS[i]]));
    return [`On the map, ${fixed(100 * within, 0)}% of the spread of the words lies within their kinds.`,
      chart("a map of the words", axis("first"), axis("second"), [], words),
      make("ul", { class: "legend" }, ...film.kinds.map((kind, i) => make("li", {}, `${GLYPHS[i]} ${kind}`)))];
  };
  const [everything, again] = film.losses, steps = film.steps.map((step) => Math.max(step, 2));
  const losses = (step) => chart("two losses of one training",
    [2, 2500, "training step (2 stands for 0)", [5, 20, 100, 500, 2500]],
    [0, 8, "loss (nats per token)", [0, 2, 4, 6, 8]],
    [["look-0", steps, everything], ["look-1 dashed", steps, again], ["dotted", [step, step], [0, 8]]],
    [["look-0", 6, 6.3, "— all tokens"], ["look-1", 6, 7.1, "- - names that came before"]], Math.log);
  const view = ({ moment, prompt, panel }) => {
    const seen = film.moments[moment], { ids, shares } = seen.beginnings[prompt], names = namesOf(ids);
    rows.show(names, shares);
    const both = `${fixed(everything[moment])} over all tokens, ${fixed(again[moment])} on names that came before`;
    const [words, ...pictures] = panel(seen, prompt);
    return [
      `Step ${film.steps[moment]}: loss ${both}. After the beginning, ${names[0]} is likeliest. ${words}`,
      make("p", { class: "text" }, make("em", {}, "It writes: "), seen.sample), losses(steps[moment]), ...pictures,
      make("div", {}, make("p", {}, make("em", {}, "The beginning: "), film.prompts[prompt]), rows.node),
    ];
  };
  explorer(element, "The film of the story model's training", {
    moment: slider("after step", 0, film.steps.length - 1, 1, 0, (moment) => film.steps[moment]),
    prompt: choice("beginning", film.prompts.map((_, i) => [i + 1, i])),
    panel: choice("show", [["where it looks", looks], ["a map of its words", map]]),
  }, view);
}

async function tokenizer(element, shelf) {
  const [gpt2, stories] = await Promise.all([shelf.tokenizer("gpt2"), shelf.tokenizer("stories")]);
  const size = (tokenizer) => `${tokenizer.tokens.length.toLocaleString("en")} tokens`;
  const view = ({ text, vocabulary }) => {
    checkText(text);
    const ids = vocabulary.encode(text);
    return [`${many([...text].length, "character")} became ${many(ids.length, "token")}. ␣ stands for a space.`,
      chips(ids.map((id) => [vocabulary.visible(id), id]))];
  };
  explorer(element, "Text as tokens, each with its id", {
    text: textBox("text", "Hello, I am learning"),
    vocabulary: choice("vocabulary", [[`GPT-2's, ${size(gpt2)}`, gpt2], [`the stories', ${size(stories)}`, stories]]),
  }, view);
}

async function activation(element, shelf) {
  const { xs, curves } = await shelf.data("activations"), xAxis = [-4, 4, "input x", [-4, -2, 0, 2, 4]];
  const view = ({ curve: [name, ...both], i, value }) => {
    const isGate = name === "SwiGLU gate", factor = isGate ? value : 1;
    const [outputs, slopes] = both.map((numbers) => numbers.map((number) => factor * number));
    const [x, y, slope] = [xs[i], outputs[i], slopes[i]];
    const [yAxis, slopeAxis] = factor === 1 ? [[-2, 4.5, "output", [-2, 0, 2, 4]], [-1.5, 2.2, "slope", [-1, 0, 1, 2]]]
      : [[-8.5, 8.5, "output", [-8, -4, 0, 4, 8]], [-2.5, 2.5, "slope", [-2, -1, 0, 1, 2]]]; // the gate reaches farther
    const gate = isGate ? ` with value ${fixed(value, 1)}` : "";
    return [
      `${name}${gate}: at x = ${fixed(x)} the output is ${fixed(y, 3)} and the slope is ${fixed(slope, 3)}.`,
      chart(name, xAxis, yAxis, [
        ["look-1 dashed", [x - 1, x + 1], [y - slope, y + slope]], ["look-0", xs, outputs], ["dot", [x, x], [y, y]]]),
      chart("its slope (derivative)", xAxis, slopeAxis, [["look-0", xs, slopes], ["dot", [x, x], [slope, slope]]]),
    ];
  };
  explorer(element, "An activation and its slope", {
    curve: choice("function", curves.map((curve) => [curve[0], curve])),
    i: slider("x", 0, xs.length - 1, 1, xs.indexOf(1), (i) => fixed(xs[i])),
    value: slider("value (SwiGLU only)", -2, 2, 0.1, 1, (number) => fixed(number, 1)),
  }, view);
}

async function layerNormExplorer(element) {
  const start = [3, -1, 0.5, 2], names = start.map((_, i) => `x${i}`);
  const picture = (title, numbers) => {
    const ends = [-0.5, names.length - 0.5], zero = ["", ends, [0, 0]];
    const bars = numbers.map((number, i) => ["bar", [i, i], [0, number]]);
    const said = numbers.map((number, i) => ["middle", i, number < 0 ? number - 1.6 : number + 0.5, fixed(number)]);
    const below = names.map((name, i) => ["middle", i, -11.7, name]);
    return chart(title, [...ends, "feature", []], [-12, 12, "activation", [-10, -5, 0, 5, 10]],
      [zero, ...bars], [...said, ...below]);
  };
  const view = ({ scale, shift, eps, ...x }) => {
    const before = Object.values(x), all = (number) => before.map(() => number);
    const after = layerNorm(before, all(scale), all(shift), eps);
    const say = ([mean, variance]) => `mean ${fixed(mean)}, variance ${fixed(variance)}`;
    const words = `Before: ${say(meanAndVariance(before))}. After: ${say(meanAndVariance(after))}.`;
    return [words, picture("before", before), picture("after layer norm", after)];
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
function shelfOf(open) {
  const opened = {}, once = (name, read) => (opened[name] ??= open(name).then(read));
  return {
    model: () => once("stories.safetensors", (buffer) => new GPT(readSafetensors(buffer))),
    tokenizer: (name) => once(`${name}.json`, (buffer) => new Tokenizer(readJson(buffer))),
    data: (name) => once(`${name}.json`, readJson),
  };
}

/** Bring an explorer to life. What stood in the element stays until it is there, or beside the reason why it is not. */
async function start(element, name, shelf) {
  const word = element.appendChild(make("p", { role: "status" }, "An explorer that moves is on its way."));
  try {
    if (!Object.hasOwn(EXPLORERS, name)) throw new Error(`there is no explorer "${name}"`);
    await EXPLORERS[name](element, shelf);
    element.dataset.alive = name;
  } catch (error) {
    word.replaceWith(make("p", { role: "alert" }, `This explorer could not come to life: ${error.message}`));
  }
}

/** In a notebook, by anywidget: gptcore/pages/widget.py brings the files. */
export default {
  render: ({ model, el }) => {
    // What has the focus keeps its keys: JupyterLab would move from cell to cell by the arrows.
    el.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", ""));
    const files = model.get("files"); // DataViews by their names
    start(el, model.get("name"), shelfOf((name) => new Blob([files[name]]).arrayBuffer()));
  },
};

/** In a page: the files lie beside this one, and each place comes to life shortly before it is seen. */
const places = globalThis.document?.querySelectorAll(".live[data-explorer]") ?? [];
if (places.length) {
  document.head.append(make("link", { rel: "stylesheet", href: new URL("live.css", import.meta.url) }));
  const shelf = shelfOf(async (name) => {
    const answer = await fetch(new URL(name, import.meta.url)).catch(() => ({ statusText: "no answer" }));
    if (answer.ok) return answer.arrayBuffer();
    const why = [answer.status, answer.statusText].filter(Boolean).join(" ");
    throw new Error(`${name} did not come (${why}); load the page again`);
  });
  const watch = new IntersectionObserver((entries) => {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      watch.unobserve(target);
      start(target, target.dataset.explorer, shelf);
    }
  }, { rootMargin: "300px" });
  places.forEach((place) => watch.observe(place));
}
