// The page: a text, a model, how the model spaces and predicts the text, and the same with changed steps.
"use strict";

const NUM_EXPECTED = 5; // likeliest next bytes that are listed
const PAUSE = 400; // milliseconds without a key before characters of several bytes are completed
const byId = (id) => document.getElementById(id);

// The worker answers one question at a time; of those that wait, only the latest of each kind is asked.
class Reader {
  #worker = new Worker("worker.js", { type: "module" });
  #waiting = new Map();
  #asked = null;

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#answer(data);
    this.#worker.onerror = () => this.#answer({ error: "the model's program cannot be loaded" });
  }

  ask(kind, question) {
    return new Promise((resolve, reject) => {
      this.#waiting.get(kind)?.resolve(null); // replaced by this one
      this.#waiting.set(kind, { question, resolve, reject });
      this.#next();
    });
  }

  #next() {
    if (this.#asked || !this.#waiting.size) return;
    const [kind, entry] = this.#waiting.entries().next().value;
    this.#waiting.delete(kind);
    this.#asked = entry;
    this.#worker.postMessage(entry.question);
  }

  #answer(data) {
    const asked = this.#asked;
    this.#asked = null;
    if (data.error) asked?.reject(new Error(data.error));
    else asked?.resolve(data);
    this.#next();
  }
}

const reader = new Reader();
let folder; // what the folder holds: models, examples, bytes
let state; // text, other, model, compare, slot, layer, edits: { "layer:slot": factor }, view
let handle = null;
let shown = null; // the readings behind the picture, with the steps as they are and as changed
let revision = 0;

const modelNamed = (name) => folder.models.find((model) => model.name === name);

function startState() {
  const first = folder.examples[0];
  return {
    text: first.text, other: "", model: first.model, compare: "", slot: first.slot ?? null, layer: null, edits: {},
    view: { scale: "layer-mean", colour: "gap", rows: "auto" },
  };
}

// The link: values that differ from the start; only values that the page itself can set are accepted.
function stateFromLink() {
  const fresh = startState();
  if (location.hash.length < 2) return fresh;
  let given;
  try {
    given = JSON.parse(decodeURIComponent(location.hash.slice(1))) ?? {};
  } catch {
    return fresh;
  }
  const string = (value, fallback) => (typeof value === "string" ? value.slice(0, 4000) : fallback);
  const oneOf = (value, values, fallback) => (values.includes(value) ? value : fallback);
  const names = folder.models.map((model) => model.name);
  const view = given.view ?? {}, model = oneOf(given.model, names, fresh.model);
  return {
    text: string(given.text, fresh.text),
    other: string(given.other, ""),
    model,
    compare: oneOf(given.compare, ["", "text", ...names], ""),
    slot: Number.isInteger(given.slot) && given.slot >= 0 ? given.slot : null,
    layer: oneOf(given.layer, ["all", ...modelNamed(model).layers.map(String)], null),
    edits: Object.fromEntries(Object.entries(given.edits ?? {}).filter(
      ([key, factor]) => /^(all|\d+):\d+$/.test(key) && Number.isFinite(factor) && factor >= 0 && factor <= 16)),
    view: {
      scale: oneOf(view.scale, ["layer-mean", "raw", "shared", "contrast"], "layer-mean"),
      colour: oneOf(view.colour, ["gap", "rank", "surprisal", "entropy", "kind", "difference"], "gap"),
      rows: oneOf(view.rows, ["auto", "all"], "auto"),
    },
  };
}

const linkOfState = () => `${location.href.split("#")[0]}#${encodeURIComponent(JSON.stringify(state))}`;

// As many whole characters of a text as fit into a number of bytes.
function fitting(text, numBytes) {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(numBytes));
  return text.slice(0, read);
}

function multipliersOf(model, text, length) {
  const values = new Float32Array(model.layers.length * length).fill(1);
  const cells = cellsOf(text);
  for (const [key, factor] of Object.entries(state.edits)) {
    const [layer, slot] = key.split(":");
    const cell = cells[Number(slot)];
    if (!cell) continue;
    model.layers.forEach((number, row) => {
      if (layer !== "all" && Number(layer) !== number) return;
      for (let token = cell.firstToken + 1; token <= cell.firstToken + cell.numTokens; token++)
        if (token < length) values[row * length + token] *= factor;
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
  return result && { model, text: read, tokens, isCut: read.length < text.length, ...result };
}

async function refresh() {
  const own = ++revision;
  const text = state.text || " ";
  const isEdited = Object.values(state.edits).some((factor) => factor !== 1);
  const begun = performance.now();
  try {
    const plain = await readingOf("plain", state.model, text, false);
    if (own !== revision || !plain) return;
    const changed = isEdited ? await readingOf("changed", state.model, text, true) : plain;
    if (own !== revision || !changed) return;
    const readings = [state.compare ? plain : changed];
    if (state.compare === "text") readings.push(await readingOf("other", state.model, state.other || " ", false));
    else if (state.compare) readings.push(await readingOf("other", state.compare, text, false));
    if (own !== revision || readings.includes(null)) return;
    const before = isEdited && !state.compare ? contentOf([plain]) : null;
    const content = before ? inUnitsOf(before, contentOf(readings)) : contentOf(readings);
    shown = { plain, changed, isEdited, before, content };
    draw(content, before);
    const cut = plain.isCut ? ` The model reads ${plain.model.context - 1} bytes; the rest is left out.` : "";
    const seconds = ((performance.now() - begun) / 1000).toPrecision(2);
    say(`${plain.tokens.length - 1} bytes, read and drawn in ${seconds} s.${cut}`);
    document.documentElement.dataset.revision = own;
  } catch (error) {
    if (own === revision) say(`The model could not read this: ${error.message}. Reload the page to try again.`, true);
  }
}

// The chosen view, or the nearest that can be drawn.
function viewOf(content) {
  const { scale, colour } = state.view, { scalesOf, hasDifference } = howfarSpacing;
  return {
    ...state.view,
    scale: scalesOf(content).includes(scale) ? scale : "raw",
    colour: colour === "difference" && !hasDifference(content) ? "gap" : colour,
  };
}

function draw(content, before) {
  const view = viewOf(content);
  if (!handle)
    handle = howfarSpacing.mountMoving(byId("picture"), content, view, {
      layer: state.layer ?? undefined,
      factorAt: (layer, slot) => state.edits[`${layer}:${slot}`] ?? 1,
      onSelect: (slot) => { state.slot = slot; showPanel(); },
      onView: (chosen) => { state.view = chosen; },
      onLayer: (layer) => { state.layer = layer; },
      onMove: setFactor,
      onReset: () => { state.edits = {}; refresh(); },
      onWrite: writeOn,
      onTakeBack: () => { putText(written.before); written = null; },
    });
  handle.update(content, view, before);
  if (handle.layer !== state.layer) handle.layer = state.layer; // null: the first
  if (handle.selected !== state.slot) handle.select(state.slot);
  byId("captions").replaceChildren(...content.captions.map((textContent) => Object.assign(document.createElement("p"), { textContent })));
  showPanel();
}

function say(message, isFailure = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("failed", isFailure);
}

// The panel of the selected character.
let completing = 0;

function showPanel() {
  const cell = shown && state.slot !== null ? cellsOf(shown.plain.text)[state.slot] : null;
  if (!cell) return;
  const { plain, changed, isEdited, before, content } = shown;
  const after = cell.firstToken + cell.numTokens; // the mark stands before the text
  const [chances, chancesNow] = [plain, changed].map((reading) => chancesAfter(reading, after));
  const rows = likeliest(chances, NUM_EXPECTED).map((id) => ({
    id, label: labelOf(id, plain.model), before: chances[id], after: chancesNow[id],
  }));
  const losses = before ? lossesAfterEdits(before, content) : [];
  const show = () => handle.show({
    isMoved: isEdited, losses, isWriting: written?.isGoing, canTakeBack: written && !written.isGoing,
    effect: !isEdited || state.compare ? ""
      : howfarSpacing.effectInWords(losses.reduce((total, { change }) => total + change, 0), losses.length),
    expected: rows.map((row) => (row.label === null ? { label: "…" } : row)),
  });
  show();
  completeRows(rows, plain, after, show);
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

// Changes of surprisal of the characters after the first step that was moved.
function lossesAfterEdits(before, content) {
  const first = Math.min(...Object.keys(state.edits).map((key) => Number(key.split(":")[1])));
  const { labels, surprisal } = content.texts[0];
  return labels.map((label, slot) => ({ label, change: surprisal[slot] - before.texts[0].surprisal[slot] })).slice(first + 1);
}

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

// Let the model write after the selected character, with the moved steps; the picture grows with each character.
const MOST_WRITTEN = 80, TEMPERATURE = 0.8;
let written = null; // { before: the text as it was, isGoing }

async function writeOn() {
  if (written?.isGoing) return void (written.isGoing = false);
  const cells = cellsOf(state.text), own = written = { before: state.text, isGoing: true };
  let text = cells.slice(0, (state.slot ?? cells.length - 1) + 1).map((cell) => cell.text).join("");
  try {
    for (let count = 0; own.isGoing && count < MOST_WRITTEN; count++) {
      const next = await nextCharacter(text);
      if (next === null || own !== written) break;
      text += next;
      await putText(text);
    }
  } finally {
    own.isGoing = false;
    showPanel();
  }
}

// Another text or model ends the writing: what the visitor does must not be overwritten.
function stopWriting() {
  if (written) written.isGoing = false;
  written = null;
}

function putText(text) {
  byId("text").value = text;
  keepEdits(state.text, text);
  state.text = text;
  state.slot = Math.min(state.slot ?? 0, cellsOf(text).length - 1);
  return refresh();
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

function setFactor(layer, slot, factor) {
  Object.assign(state, { layer, slot });
  if (factor === 1) delete state.edits[`${layer}:${slot}`];
  else state.edits[`${layer}:${slot}`] = factor;
  refresh();
}

// The form.
function fillSelect(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, textContent]) =>
    Object.assign(document.createElement("option"), { value, textContent, selected: value === chosen })));
}

function fillForm() {
  const names = folder.models.map(({ name }) => [name, name]);
  byId("text").value = state.text;
  byId("other").value = state.other;
  fillSelect(byId("model"), names, state.model);
  fillSelect(byId("compare"), [["", "nothing"], ["text", "a second text"], ...names.filter(([name]) => name !== state.model)], state.compare);
  byId("other-label").hidden = state.compare !== "text";
}

// Edits belong to one text: they are dropped when the text changes, except after them.
function keepEdits(before, after) {
  let same = 0;
  const [a, b] = [cellsOf(before), cellsOf(after)];
  while (same < Math.min(a.length, b.length) && a[same].text === b[same].text) same++;
  for (const key of Object.keys(state.edits)) if (Number(key.split(":")[1]) >= same) delete state.edits[key];
}

function listen() {
  byId("text").addEventListener("input", ({ target }) => {
    stopWriting();
    keepEdits(state.text, target.value);
    state.text = target.value;
    refresh();
  });
  byId("other").addEventListener("input", ({ target }) => { state.other = target.value; refresh(); });
  byId("model").addEventListener("change", ({ target }) => {
    stopWriting();
    Object.assign(state, { model: target.value, edits: {}, layer: null, compare: state.compare === target.value ? "" : state.compare });
    fillForm();
    refresh();
  });
  byId("compare").addEventListener("change", ({ target }) => {
    stopWriting();
    state.compare = target.value;
    if (target.value === "text" && !state.other) state.other = state.text;
    fillForm();
    refresh();
  });
  byId("example").addEventListener("change", ({ target }) => {
    const example = folder.examples[Number(target.value)];
    if (!example) return;
    stopWriting();
    Object.assign(state, { text: example.text, model: example.model, slot: example.slot ?? null, edits: {}, compare: "", other: "" });
    fillForm();
    refresh();
  });
  byId("link").addEventListener("click", async () => {
    history.replaceState(null, "", linkOfState());
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link is copied.");
    } catch {
      say("The link is in the address bar.");
    }
  });
  byId("inputs").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => {
    stopWriting();
    state = stateFromLink();
    fillForm();
    refresh();
  });
}

async function begin() {
  try {
    folder = await (await fetch("folder.json")).json();
  } catch {
    return say("folder.json is missing beside this page; write the folder again with howfar live.", true);
  }
  state = stateFromLink();
  fillSelect(byId("example"), [["", "choose one"], ...folder.examples.map(({ name }, index) => [String(index), name])], "");
  byId("about").textContent = folder.about;
  fillForm();
  listen();
  await refresh();
}

begin();
