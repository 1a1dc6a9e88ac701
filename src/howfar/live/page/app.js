// The page: a text, a model, what it makes of the text, and what it would make of it with other steps.
"use strict";

const NUM_CANDIDATES = 5;
const PAUSE = 400; // milliseconds without a key before characters of several bytes are completed
const byId = (id) => document.getElementById(id);

// The worker takes one question at a time; of those that wait, each kind of question is asked in its latest form only.
class Reader {
  #worker = new Worker("worker.js", { type: "module" });
  #waiting = new Map();
  #asked = null;
  #id = 0;

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#answer(data);
    this.#worker.onerror = () => this.#answer({ error: "the model's program cannot be loaded" });
  }

  ask(kind, question) {
    return new Promise((resolve, reject) => {
      this.#waiting.get(kind)?.resolve(null); // overtaken
      this.#waiting.set(kind, { question, resolve, reject });
      this.#next();
    });
  }

  #next() {
    if (this.#asked || !this.#waiting.size) return;
    const [kind, entry] = this.#waiting.entries().next().value;
    this.#waiting.delete(kind);
    this.#asked = entry;
    this.#worker.postMessage({ ...entry.question, id: ++this.#id });
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
    text: first.text, other: "", model: first.model, compare: "", slot: first.slot ?? null, layer: "all", edits: {},
    view: { scale: "layer-mean", colour: "gap", rows: "auto" },
  };
}

// The link: what differs from the start, and only values that the page could have set itself.
function stateFromLink() {
  const fresh = startState();
  if (location.hash.length < 2) return fresh;
  let given;
  try {
    given = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return fresh;
  }
  const string = (value, fallback) => (typeof value === "string" ? value.slice(0, 4000) : fallback);
  const oneOf = (value, values, fallback) => (values.includes(value) ? value : fallback);
  const names = folder.models.map((model) => model.name);
  const view = given.view ?? {};
  return {
    text: string(given.text, fresh.text),
    other: string(given.other, ""),
    model: oneOf(given.model, names, fresh.model),
    compare: oneOf(given.compare, ["", "text", ...names], ""),
    slot: Number.isInteger(given.slot) && given.slot >= 0 ? given.slot : null,
    layer: string(given.layer, "all"),
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

// As many whole characters of a text as fit into so many bytes.
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

// Read a text as it is and, where steps were changed, as changed.
async function readingOf(kind, name, text, withEdits) {
  const model = modelNamed(name);
  const read = fitting(text.toWellFormed(), model.context - 1);
  const tokens = [model.mark, ...new TextEncoder().encode(read)];
  const question = {
    file: model.file, tokens, numLayers: model.layers.length, numCandidates: NUM_CANDIDATES,
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
    const readings = [changed];
    let names = ["A", "B"];
    if (state.compare === "text") readings.push(await readingOf("other", state.model, state.other || " ", false));
    else if (state.compare) {
      readings.push(await readingOf("other", state.compare, text, false));
      names = [state.model, state.compare];
    }
    if (own !== revision || readings.includes(null)) return;
    shown = { plain, changed, isEdited };
    draw(contentOf(readings, names));
    const cut = plain.isCut ? ` The model reads ${plain.model.context - 1} bytes; the rest is left out.` : "";
    const seconds = ((performance.now() - begun) / 1000).toPrecision(2);
    say(`${plain.tokens.length - 1} bytes, read and drawn in ${seconds} s.${cut}`);
    document.documentElement.dataset.revision = own;
  } catch (error) {
    if (own === revision) say(`The model could not read this: ${error.message}. Reload the page to try again.`, true);
  }
}

function draw(content) {
  if (handle) handle.update(content, state.view);
  else {
    handle = howfarSpacing.mount(byId("picture"), content, state.view, {
      onSelect: (slot) => { state.slot = slot; showPanel(); },
      onView: (view) => { state.view = view; },
    });
    followPointer();
  }
  handle.select(state.slot);
  showPanel();
}

function say(message, isFailure = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("failed", isFailure);
}

// The panel of the selected character.
const layersOf = () => modelNamed(state.model).layers;
const editKey = () => `${state.layer}:${state.slot}`;
let completing = 0;

function showPanel() {
  const cells = shown ? cellsOf(shown.plain.text) : [];
  const cell = state.slot === null ? null : cells[state.slot];
  byId("panel").hidden = !cell;
  if (!cell) return;
  byId("chosen").textContent = cell.text.trim() ? `“${visible(cell.text)}”` : "this space";
  if (state.layer !== "all" && !layersOf().includes(Number(state.layer))) state.layer = "all";
  fillSelect(byId("layer"), [["all", "all layers"], ...layersOf().map((layer) => [String(layer), `layer ${layer}`])], state.layer);
  const factor = state.edits[editKey()] ?? 1;
  byId("factor").value = Math.min(factor, Number(byId("factor").max));
  byId("factor-value").textContent = factor.toFixed(2).replace(/\.?0+$/, "");
  byId("reset").disabled = !shown.isEdited;
  byId("effect").textContent = effectInWords();
  showExpected(cell);
}

// How much easier or harder the text became, in total, where steps were changed.
function effectInWords() {
  const { plain, changed, isEdited } = shown;
  if (!isEdited) return "Drag a tile in the picture sideways, or move the slider, and see what changes.";
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  const difference = total(changed.surprisal) - total(plain.surprisal);
  const size = Math.abs(difference).toPrecision(2);
  if (Math.abs(difference) < 0.0005) return "The text is as easy to predict as before, to a thousandth of a nat.";
  return difference < 0
    ? `The text became easier to predict: ${size} nats less in total.`
    : `The text became harder to predict: ${size} nats more in total.`;
}

async function showExpected(cell) {
  const own = ++completing;
  const after = cell.firstToken + cell.numTokens; // the mark stands before the text
  const { plain, changed } = shown;
  const rows = plain.candidates[after].map(([id, chance]) => ({
    id, chance, changed: changed.candidates[after].find(([other]) => other === id)?.[1],
    label: labelOf(id, plain.model),
  }));
  const fill = () => byId("expected").tBodies[0].replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    const chance = (value) => (value === undefined ? "less" : `${(100 * value).toPrecision(2)}%`);
    for (const value of [row.label ?? "…", chance(row.chance), chance(row.changed)])
      line.append(Object.assign(document.createElement("td"), { textContent: value }));
    return line;
  }));
  fill();
  // A character of several bytes: ask the model for its likeliest rest, once nobody types.
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  for (const row of rows.filter((one) => one.label === null)) {
    row.label = await completed(plain, after, row.id, () => own === completing);
    if (own !== completing) return;
    fill();
  }
}

function labelOf(id, model) {
  if (id === model.mark) return "end of document";
  if (id >= 0x80) return null;
  if (id === 0x20) return "space";
  return visible(String.fromCharCode(id));
}

// The character that the model would write from a first byte on, by its likeliest bytes.
async function completed({ model, tokens }, after, id, isWanted) {
  const prefix = tokens.slice(0, after + 1);
  const pending = pendingBytes(prefix);
  const bytes = [...pending, id];
  const needed = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : bytes[0] >= 0xc0 ? 2 : 1;
  const sequence = [...prefix, id];
  while (bytes.length < needed && sequence.length < model.context && isWanted()) {
    const answer = await reader.ask("complete", {
      file: model.file, tokens: sequence, numLayers: model.layers.length, numCandidates: 1,
    });
    if (!answer) return "…";
    const next = answer.candidates.at(-1)[0][0];
    bytes.push(next);
    sequence.push(next);
  }
  try {
    return visible(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes)));
  } catch {
    return `byte ${id.toString(16).toUpperCase()}`;
  }
}

// Bytes at the end of a sequence that begin a character and do not end it.
function pendingBytes(tokens) {
  for (let back = 1; back <= 3 && back < tokens.length; back++) {
    const byte = tokens[tokens.length - back];
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? tokens.slice(-back) : [];
    if (byte < 0x80) return [];
  }
  return [];
}

// Drag a tile in the picture: its step grows or shrinks with the pointer, in the row's layer.
function followPointer() {
  const picture = byId("picture").querySelector(".picture");
  let drag = null;
  picture.addEventListener("pointerdown", (event) => {
    const found = handle.slotAt(event);
    if (!found || found.slot === null || event.button !== 0) return;
    const line = handle.drawing.lines[found.line];
    if (line.isPlain || line.isFolded || state.compare) return;
    const match = / ?layer (\d+)$/.exec(line.name);
    drag = {
      x: event.clientX, width: Math.max(1, Math.abs(found.end - found.before)), slot: found.slot,
      layer: match ? match[1] : "all", isMoved: false,
    };
    drag.factor = state.edits[`${drag.layer}:${drag.slot}`] ?? 1;
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const moved = event.clientX - drag.x;
    if (!drag.isMoved && Math.abs(moved) < 4) return;
    drag.isMoved = true;
    Object.assign(state, { slot: drag.slot, layer: drag.layer });
    setFactor(Math.min(16, Math.max(0, drag.factor * (1 + moved / drag.width))));
  });
  const release = () => { drag = null; };
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
}

function setFactor(factor) {
  const rounded = Math.round(factor * 20) / 20;
  if (rounded === 1) delete state.edits[editKey()];
  else state.edits[editKey()] = rounded;
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

// Edits are of one text: they go when the text changes anywhere but behind them.
function keepEdits(before, after) {
  let same = 0;
  const [a, b] = [cellsOf(before), cellsOf(after)];
  while (same < Math.min(a.length, b.length) && a[same].text === b[same].text) same++;
  for (const key of Object.keys(state.edits)) if (Number(key.split(":")[1]) >= same) delete state.edits[key];
}

function listen() {
  byId("text").addEventListener("input", ({ target }) => {
    keepEdits(state.text, target.value);
    state.text = target.value;
    refresh();
  });
  byId("other").addEventListener("input", ({ target }) => { state.other = target.value; refresh(); });
  byId("model").addEventListener("change", ({ target }) => {
    Object.assign(state, { model: target.value, edits: {}, layer: "all", compare: state.compare === target.value ? "" : state.compare });
    fillForm();
    refresh();
  });
  byId("compare").addEventListener("change", ({ target }) => {
    state.compare = target.value;
    if (target.value === "text" && !state.other) state.other = state.text;
    fillForm();
    refresh();
  });
  byId("example").addEventListener("change", ({ target }) => {
    const example = folder.examples[Number(target.value)];
    if (!example) return;
    Object.assign(state, { text: example.text, model: example.model, slot: example.slot ?? null, edits: {}, compare: "", other: "" });
    fillForm();
    refresh();
  });
  byId("layer").addEventListener("change", ({ target }) => { state.layer = target.value; showPanel(); });
  byId("factor").addEventListener("input", ({ target }) => setFactor(Number(target.value)));
  byId("reset").addEventListener("click", () => { state.edits = {}; refresh(); });
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
  addEventListener("hashchange", () => { state = stateFromLink(); fillForm(); refresh(); });
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
