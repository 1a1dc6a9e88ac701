// The state of the page: what the visitor has chosen, which a link stores and restores.
"use strict";

const LONGEST_LINK = 40_000; // characters; programs that pass links on may cut longer ones
let folder; // what the page has: models, examples, most (characters of a text), about
let state; // text, other, model, compare, slot, layer, edits: { "layer:slot": factor }, plain (a layer of plain steps), view, character (of an example, until its cell is known), and what the backend adds

// The moved steps that are shown and given to the model; while readings are compared, none is moved.
const moves = () => (state.compare ? {} : state.edits);
const isAnyMoved = () => Object.values(moves()).some((factor) => factor !== 1);

const modelNamed = (name) => folder.models.find((model) => model.name === name);

// An example may come with moved steps; the layer of the first is the one that is moved on.
const layerOfEdits = ({ edits = {} }) => Object.keys(edits)[0]?.split(":")[0] ?? null;

function startState() {
  const first = folder.examples[0];
  return {
    text: first.text, other: "", model: first.model, compare: "", slot: first.slot ?? null, layer: layerOfEdits(first), edits: { ...first.edits },
    plain: null, character: first.character,
    view: { scale: "layer-mean", colour: "gap", rows: "auto" },
    ...backend.startState?.(),
  };
}

// The state in the page's address, and the first thing in it that the page itself would not have written.
function stateFromLink() {
  const fresh = startState();
  if (location.hash.length < 2) return [fresh, ""];
  let given, damage = "";
  try {
    given = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    if (given === null || typeof given !== "object" || Array.isArray(given)) throw new TypeError();
  } catch {
    return [fresh, "The link is damaged; this is the page as it opens."];
  }
  const read = (value, isRight, wanted, fallback) => {
    if (value === undefined) return fallback;
    if (isRight(value)) return value;
    damage ||= `The link is damaged: ${wanted}.`;
    return fallback;
  };
  const text = (value, name, fallback) => read(value, (one) => typeof one === "string" && !isTooLong(one),
    `its ${name} must be text of at most ${folder.most.toLocaleString("en-US")} characters`, fallback);
  const oneOf = (value, values, name, fallback) => read(value, (one) => values.includes(one), `its ${name} must be one of ${values.join(", ")}`, fallback);
  const objectOf = (value) => (value !== null && typeof value === "object" ? value : {});
  const names = folder.models.map((model) => model.name), view = objectOf(given.view);
  const model = oneOf(given.model, names, "model", fresh.model), layers = ["all", ...modelNamed(model).layers.map(String)];
  const compare = oneOf(given.compare, ["", "text", ...names], "comparison", "");
  const isEdit = ([key, factor]) => /^(all|\d{1,9}):\d{1,9}$/.test(key) && Number.isFinite(factor) && factor >= 0 && factor <= 16;
  const edits = Object.entries(objectOf(given.edits));
  read(given.edits, () => edits.every(isEdit), "its factors of steps must be numbers from 0 to 16");
  const found = {
    text: text(given.text, "text", fresh.text),
    other: text(given.other, "second text", ""),
    model,
    compare,
    slot: read(given.slot, (slot) => slot === null || (Number.isInteger(slot) && slot >= 0), "its selected character must be a number from 0", null),
    layer: oneOf(given.layer ?? undefined, layers, "layer", null),
    edits: Object.fromEntries(edits.filter(isEdit)),
    plain: oneOf(given.plain ?? undefined, backend.canBePlain ? layers : [], "plain layer", null),
    view: {
      scale: oneOf(view.scale, ["layer-mean", "raw", "shared", "contrast"], "scale", "layer-mean"),
      colour: oneOf(view.colour, ["gap", "rank", "surprisal", "entropy", "kind", "difference"], "colour", "gap"),
      rows: oneOf(view.rows, ["auto", "all"], "rows", "auto"),
    },
    ...backend.stateOf?.(given, { read, oneOf }, { model, compare }),
  };
  return [found, damage];
}

const linkOfState = () => `${location.href.split("#")[0]}#${encodeURIComponent(JSON.stringify(state))}`;

// Characters as Python counts them.
const lengthOf = (text) => (text.length > folder.most ? Array.from(text).length : text.length);
const isTooLong = (text) => lengthOf(text) > folder.most;
