/**
 * What the tests ask of live.js, in Node and in Chromium alike. Run by Node, it reads a question a line, [name,
 * ...arguments], and answers each with a line.
 */

import * as live from "./live.js";

/** The questions by their names; `open(name)` gives the bytes of a file beside this one. */
export function casesOf(open) {
  const kept = {};
  const model = async (file) => (kept[file] ??= new live.GPT(live.readSafetensors(await open(file))));
  const tokenizer = async (file) => (kept[file] ??= new live.Tokenizer(live.readJson(await open(file))));
  const largest = (numbers) => numbers.indexOf(Math.max(...numbers));
  return {
    /** Of each text: its ids, what they are decoded to, and each token made visible. */
    tokens: async (file, texts) => {
      const known = await tokenizer(file);
      const idsOfAll = texts.map((text) => known.encode(text));
      return idsOfAll.map((ids) => [ids, known.decode(ids), ids.map((id) => known.visible(id))]);
    },
    /** The logits of pieces of one text, read one piece after the other, and where all its tokens looked. */
    logits: async (file, pieces) => {
      const gpt = await model(file), cache = new live.KVCache(gpt.cfg);
      const logits = pieces.flatMap((ids) => gpt.forward(ids, cache)).map((row) => Array.from(row));
      return [logits, cache.attention.map((heads) => heads.map((rows) => rows.map((row) => Array.from(row))))];
    },
    /** The last logits of a text that is read behind the beginning of another, which the cache has seen to its end. */
    changedEnd: async (file, ids, other, common) => {
      const gpt = await model(file), cache = new live.KVCache(gpt.cfg);
      gpt.forward(other, cache);
      cache.numTokens = common;
      return Array.from(gpt.forward(ids.slice(common), cache).at(-1));
    },
    /** The sum of the losses of a text's tokens, each from those before it. */
    loss: async (file, ids) => {
      const logits = (await model(file)).forward(ids.slice(0, -1));
      return logits.reduce((sum, row, i) => sum - Math.log(live.softmax(row)[ids[i + 1]]), 0);
    },
    /** So many tokens, always the likeliest. */
    greedy: async (file, ids, steps) => {
      const gpt = await model(file), cache = new live.KVCache(gpt.cfg), written = [];
      for (let logits = gpt.forward(ids, cache).at(-1); written.length < steps; [logits] = gpt.forward(written.slice(-1), cache))
        written.push(largest(logits));
      return written;
    },
    milliseconds: async (file, steps) => {
      const gpt = await model(file), cache = new live.KVCache(gpt.cfg), times = [];
      for (let token = 0; token < steps; token++) {
        const start = performance.now();
        gpt.forward([token], cache);
        times.push(performance.now() - start);
      }
      return times;
    },
    numbers: async (file, name) => Array.from(live.readSafetensors(await open(file)).tensors[name]),
    layerNorm: async (...given) => live.layerNorm(...given),
    fixed: async (numbers, digits) => numbers.map((number) => live.fixed(number, digits)),
  };
}

if (globalThis.process?.argv) {
  const { readFile } = await import("node:fs/promises"), { createInterface } = await import("node:readline");
  const cases = casesOf(async (name) => {
    const { buffer, byteOffset, byteLength } = await readFile(new URL(name, import.meta.url));
    return buffer.slice(byteOffset, byteOffset + byteLength);
  });
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...given] = JSON.parse(line);
    const answer = await cases[name](...given).catch((error) => ({ error: String(error) }));
    console.log(JSON.stringify(answer));
  }
}
