// The model runs in the visitor's browser, in a worker beside the page: see page.js for what a backend does.
"use strict";

const NUM_EXPECTED = 5; // likeliest next bytes that are listed
const PAUSE = 400; // milliseconds without a key before characters of several bytes are completed
const TEMPERATURE = 0.8; // of text that the model writes

const worker = new Worker("worker.js", { type: "module" });
const reader = new Latest((question) => new Promise((resolve, reject) => {
  const fail = (message) => reject(new Error(`the model could not read this: ${message}; reload the page to try again`));
  worker.onmessage = ({ data }) => (data.error ? fail(data.error) : resolve(data));
  worker.onerror = () => fail("the model's program cannot be loaded");
  worker.postMessage(question);
}));

const backend = {
  async open() {
    try {
      return await (await fetch("folder.json")).json();
    } catch {
      throw new Error("folder.json is missing beside this page; write the folder again with howfar live");
    }
  },

  async read(isWanted) {
    const { text, compare, other } = state, isEdited = isAnyMoved();
    if (!text || (compare === "text" && !other)) throw new Error("the text is empty; give at least one character");
    const plain = await readingOf("plain", state.model, text, false);
    if (!isWanted() || !plain) return null;
    const changed = isEdited ? await readingOf("changed", state.model, text, true) : plain;
    if (!isWanted() || !changed) return null;
    const readings = [changed];
    if (compare) readings.push(await readingOf("other", compare === "text" ? state.model : compare, compare === "text" ? other : text, false));
    if (!isWanted() || readings.includes(null)) return null;
    const before = isEdited ? contentOf([plain]) : null, content = contentOf(readings, before);
    return {
      plain, changed, isEdited, before, content, ...lossesAfterEdits(plain, changed, content), isPart: false,
      ends: endsOf(plain.text), numTokens: plain.tokens.length - 1,
      note: readings.map(noteOfCut).join(""),
    };
  },

  expect(show) {
    const cell = cellsOf(shown.plain.text)[state.slot];
    if (!cell) return;
    const { plain, changed } = shown, after = cell.firstToken + cell.numTokens; // the mark stands before the text
    const [chances, chancesNow] = [plain, changed].map((reading) => chancesAfter(reading, after));
    const rows = likeliest(chances, NUM_EXPECTED).map((id) => ({
      id, label: labelOf(id, plain.model), before: chances[id], after: chancesNow[id],
    }));
    const showRows = () => show(rows.map((row) => (row.label === null ? { label: "…" } : row)));
    showRows();
    completeRows(rows, plain, after, showRows);
  },

  next: (text) => nextCharacter(text),
};

const endsOf = (text) => {
  let end = 0;
  return cellsOf(text).map((cell) => (end += cell.text.length));
};

// As many whole characters of a text as fit into a number of bytes.
function fitting(text, numBytes) {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(numBytes));
  return text.slice(0, read);
}

function multipliersOf(model, text, length) {
  const values = new Float32Array(model.layers.length * length).fill(1);
  const cells = cellsOf(text), lag = model.advance === "after" ? 1 : 0; // whose step leads to a byte
  for (const [key, factor] of Object.entries(moves())) {
    const [layer, slot] = key.split(":");
    const cell = cells[Number(slot)];
    if (!cell) continue;
    model.layers.forEach((number, row) => {
      if (layer !== "all" && Number(layer) !== number) return;
      for (let token = cell.firstToken + 1; token <= cell.firstToken + cell.numTokens; token++)
        if (token < length) values[row * length + token - lag] *= factor;
    });
  }
  return values;
}

// Read a text with the model's own steps and, if some were changed, with the changed ones.
async function readingOf(kind, name, text, withEdits) {
  const model = modelNamed(name);
  const read = fitting(text.toWellFormed(), model.context - 1);
  const tokens = [model.mark, ...new TextEncoder().encode(read)];
  const question = {
    file: model.file, tokens, numLayers: model.layers.length,
    multipliers: withEdits ? multipliersOf(model, read, tokens.length) : undefined,
  };
  const result = await reader.ask(kind, question);
  return result && { model, asked: text, text: read, tokens, ...result };
}

// What a model leaves out of a text, in words.
function noteOfCut({ model: { name, context }, asked, text }, index, readings) {
  if (text.length === asked.length) return "";
  const which = readings.length === 1 ? "The model" : state.compare === "text" ? `Of text ${LETTERS[index]}, the model` : `${name} (${LETTERS[index]})`;
  return ` ${which} reads ${(context - 1).toLocaleString("en-US")} bytes; the rest is left out.`;
}

// What the model expects after a token, by byte.
function chancesAfter({ logits, size }, token) {
  const row = logits.subarray(token * size, (token + 1) * size);
  const largest = row.reduce((most, value) => Math.max(most, value), -Infinity);
  const weights = Float64Array.from(row, (value) => Math.exp(value - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

const likeliest = (chances, count) =>
  Array.from(chances.keys()).sort((one, other) => chances[other] - chances[one]).slice(0, count);

// The first step that was moved, and the changes of surprisal of the characters after it, also of a line end that is not drawn.
function lossesAfterEdits(plain, changed, { texts: [{ labels }] }) {
  const cells = cellsOf(plain.text);
  const moved = Object.entries(moves()).filter(([, factor]) => factor !== 1).map(([key]) => Number(key.split(":")[1]));
  const first = Math.min(...moved.filter((slot) => slot < cells.length));
  if (first === Infinity) return { first: null, losses: [] };
  const losses = cells.slice(first + 1).map(({ firstToken, numTokens }, place) => {
    let change = 0;
    for (let token = firstToken + 1; token <= firstToken + numTokens; token++) change += changed.surprisal[token] - plain.surprisal[token];
    return { label: labels[first + 1 + place] ?? "⏎", change };
  });
  return { first, losses };
}

let completing = 0;

// Characters of several bytes: ask the model for their likeliest rest, once nobody types.
async function completeRows(rows, reading, after, show) {
  const own = ++completing;
  if (rows.every(({ label }) => label !== null)) return;
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  for (const row of rows.filter((one) => one.label === null)) {
    if (own !== completing) return;
    Object.assign(row, await completed(reading, after, row, () => own === completing));
  }
  if (own !== completing) return;
  rows.sort((one, other) => other.before - one.before);
  show();
}

// Sample from the model's prediction, byte by byte until a character is complete; null at the end of the document.
async function nextCharacter(text) {
  const model = modelNamed(state.model), bytes = [];
  const tokens = [model.mark, ...new TextEncoder().encode(text)];
  for (let needed = 1; bytes.length < needed;) {
    if (tokens.length >= model.context) return null;
    const answer = await reader.ask("write", {
      file: model.file, tokens, numLayers: model.layers.length,
      multipliers: multipliersOf(model, text, tokens.length),
    });
    const id = answer && sampled(chancesAfter(answer, tokens.length - 1));
    if (id === null || id === model.mark || id > 0xff) return null;
    if (!bytes.length) needed = numBytesFrom(id);
    bytes.push(id);
    tokens.push(id);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

function sampled(chances) {
  const weights = chances.map((chance) => chance ** (1 / TEMPERATURE));
  let left = Math.random() * weights.reduce((total, weight) => total + weight, 0);
  const found = weights.findIndex((weight) => (left -= weight) < 0);
  return found >= 0 ? found : weights.indexOf(Math.max(...weights)); // the sum is rounded, so a little can be left
}

const numBytesFrom = (first) => (first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1);

function labelOf(id, model) {
  if (id === model.mark) return "end of document";
  if (id >= 0x80) return null;
  if (id === 0x20) return "space";
  return visible(String.fromCharCode(id));
}

// The character that begins with a given byte, completed by the model's likeliest bytes, and its probability with the model's
// own steps and with the changed ones; where they make no character, the byte and its probability.
async function completed({ model, text, tokens }, after, { id, ...first }, isWanted) {
  const length = after + 1, sequence = [...tokens.slice(0, length), id], chances = { ...first };
  const read = text.slice(0, cellsOf(text).slice(0, state.slot + 1).reduce((total, cell) => total + cell.text.length, 0));
  for (const needed = numBytesFrom(id); sequence.length < length + needed && sequence.length < model.context && isWanted();) {
    let next;
    for (const when of ["before", "after"]) {
      const answer = await reader.ask("complete", {
        file: model.file, tokens: sequence, numLayers: model.layers.length,
        multipliers: when === "after" ? multipliersOf(model, read, sequence.length) : undefined,
      });
      if (!answer) return {};
      const following = chancesAfter(answer, sequence.length - 1);
      next ??= likeliest(following, 1)[0];
      chances[when] *= following[next];
    }
    sequence.push(next);
  }
  try {
    return { ...chances, label: visible(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(sequence.slice(length)))) };
  } catch {
    return { ...first, label: `byte ${id.toString(16).toUpperCase()}` };
  }
}
