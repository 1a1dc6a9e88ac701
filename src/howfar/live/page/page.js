// The page: a text, a model, how the model spaces and predicts the text, and the same with changed steps. The model is the
// `backend`'s, in the browser (local.js) or on a server (server.js):
//   backend.open()              what the page has: see `folder`
//   backend.read(isWanted)      reads what `state` says, and returns what `shown` holds; null if it is no longer wanted
//   backend.expect(show)        finds what the model expects after the selected character, and shows the rows of the panel
//   backend.next(text)          the character that the model writes after a text; null at the end of a document
//   backend.startState, .stateOf   what it adds to the state: at first, and from a link; .follow: fills what stands below the picture
"use strict";

const { counted, element, effectInWords, hasDifference, mountMoving, scalesOf } = howfarSpacing;
const byId = (id) => document.getElementById(id);
let handle = null;
let shown = null; // what is drawn: text, content, before (without the changes), isEdited, losses (null: not
                  // known yet), first (changed slot; null: none) and isPart (see `effectInWords`), ends (of cells in the text), numTokens
let revision = 0, drawn = 0;
let isPlaceKept = false; // whether the same place of the text stays selected when the answer comes, in whatever slot it then is

async function refresh() {
  const own = ++revision, { text } = state, begun = performance.now();
  try {
    const read = await backend.read(() => own === revision);
    if (!read || own <= drawn) return;
    const end = isPlaceKept && shown ? endOfSelected() : null;
    [shown, drawn] = [{ text, ...read }, own];
    if (end !== null) state.slot = slotOfEnd(end);
    if (own === revision) {
      isPlaceKept = false;
      keepWithin();
    }
    draw(shown.content, shown.before);
    const { numTokens, content: { unit }, note = "" } = shown, seconds = ((performance.now() - begun) / 1000).toPrecision(2);
    say(`${counted(numTokens.toLocaleString("en-US"), unit)}, read and drawn in ${seconds} s.${note}`);
    document.documentElement.dataset.revision = own;
  } catch (error) {
    if (own !== revision) return;
    byId("shown").hidden = true;
    byId("place").textContent = "";
    say(sentenceOf(error), true);
  }
}

// The selected character, or the last one if the text has become shorter.
function keepWithin() {
  if (state.slot !== null) state.slot = Math.min(state.slot, shown.content.texts[0].labels.length - 1);
}

const sentenceOf = ({ message }) => `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;

// The chosen view, or the nearest that can be drawn.
function viewOf(content) {
  const { scale, colour } = state.view;
  return {
    ...state.view,
    scale: scalesOf(content).includes(scale) ? scale : "raw",
    colour: colour === "difference" && !hasDifference(content) ? "gap" : colour,
  };
}

function draw(content, before) {
  const view = viewOf(content);
  byId("shown").hidden = false;
  if (!handle)
    handle = mountMoving(byId("picture"), content, view, {
      layer: state.layer ?? undefined,
      edits: () => moves(),
      onSelect: (slot) => { state.slot = slot; showPanel(); },
      onView: (chosen) => { state.view = chosen; },
      onLayer: (layer) => { state.layer = layer; },
      onMove: setFactor,
      onReset: () => { Object.assign(state, { edits: {}, plain: null }); refresh(); },
      onWrite: () => { if (!isTooLong(byId("text").value)) writeOn(); }, // else what was typed would be overwritten
      onTakeBack: takeBack,
    });
  handle.update(content, view, before);
  if (handle.layer !== state.layer) handle.layer = state.layer; // null: the first
  if (handle.selected !== state.slot) handle.select(state.slot);
  for (const [name, by] of Object.entries(stepsOf(content))) byId(name).setAttribute("aria-label", by > 0 ? "Next character" : "Previous character");
  byId("captions").replaceChildren(...content.captions.map((textContent) => element("p", { textContent })));
  showPanel();
}

function say(message, isFailure = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("failed", isFailure);
}

function warn(message) {
  byId("warning").textContent = message;
  byId("warning").hidden = !message;
}

// Nothing is shown where the text cannot be read.
const isShown = () => shown !== null && !byId("shown").hidden;

// The panel of the selected character, and its place in words.
function showPanel() {
  if (!isShown()) return;
  byId("place").textContent = placeInWords();
  backend.follow?.();
  if (state.slot === null) return;
  const { isEdited, losses, first, isPart, content: { noun } } = shown, where = { noun, first, selected: state.slot, isPart };
  const effect = !isEdited || state.compare || !losses || first === null ? ""
    : effectInWords(losses.reduce((total, { change }) => total + change, 0), losses.length, where);
  backend.expect((expected) => handle.show({
    isMoved: isEdited, losses: losses ?? [], where, isWriting: written?.isGoing, canTakeBack: written && !written.isGoing, effect, expected,
  }));
}

// The number of the cell of one of the texts at a slot. Two texts are aligned, so that a slot may be empty in one: then it is the
// cell before, or of one text that two models read, the token in which the character lies.
const cellIn = ({ tokens }, slot) => {
  const before = tokens.slice(0, slot + 1).filter((count) => count > 0).length;
  return shown.content.isOneText && isReadFrom(tokens, slot) && !(tokens[slot] > 0) ? before : Math.max(0, before - 1);
};
const isReadFrom = (tokens, slot) => tokens.slice(slot).some((count) => count > 0); // a text may be cut

// Where the selected cell of the first text ends in it, and the slot of the cell that ends there or contains that place.
const endOfSelected = () => (state.slot === null ? null : shown.ends[cellIn(shown.content.texts[0], state.slot)] ?? null);
function slotOfEnd(end) {
  let left = shown.ends.findIndex((one) => one >= end);
  const slot = shown.content.texts[0].tokens.findIndex((count) => count > 0 && left-- === 0);
  return slot < 0 ? shown.content.texts[0].labels.length - 1 : slot;
}

function placeInWords() {
  const { texts } = shown.content, { slot } = state;
  if (slot === null) return "";
  return texts.map((text, index) => {
    if (state.compare && state.compare !== "text" && !isReadFrom(text.tokens, slot)) return `${text.noun} that ${state.model} does not read`;
    const of = text.tokens.filter((count) => count > 0).length, name = state.compare === "text" ? `${["first", "second"][index]} text: ` : "";
    return `${name}${text.noun} ${(cellIn(text, slot) + 1).toLocaleString("en-US")} of ${of.toLocaleString("en-US")}`;
  }).slice(0, state.compare === "text" ? 2 : 1).join(", ");
}

// The buttons ← and → move where they point, as the keys do: in a text that is read from right to left, ← is the next character.
const stepsOf = ({ rightToLeft }) => (rightToLeft ? { back: 1, forth: -1 } : { back: -1, forth: 1 });

function step(button) {
  if (!isShown()) return;
  const last = shown.content.texts[0].labels.length - 1, by = stepsOf(shown.content)[button];
  state.slot = Math.max(0, Math.min(last, (state.slot ?? -1) + by));
  handle.select(state.slot);
  showPanel();
}

function setFactor(layer, slot, factor) {
  Object.assign(state, { layer, slot });
  if (factor === 1) delete state.edits[`${layer}:${slot}`];
  else state.edits[`${layer}:${slot}`] = factor;
  refresh();
}

// The form.
function fillSelect(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, textContent]) => element("option", { value, textContent, selected: value === chosen })));
}

function fillForm() {
  const names = folder.models.map(({ name }) => [name, name]);
  fillSelect(byId("model"), names, state.model);
  fillSelect(byId("compare"), [["", "nothing"], ["text", "a second text"], ...names.filter(([name]) => name !== state.model)], state.compare);
  byId("other-label").hidden = state.compare !== "text";
}

// Do what the visitor chose; what the model is writing ends.
function choose(changes, keepsPlace = false) {
  stopWriting();
  isPlaceKept = keepsPlace;
  Object.assign(state, changes);
  fillForm();
  fillTexts(changes);
  refresh();
}

// Only with texts that were chosen: one that was typed, but is too long to be read, stays.
function fillTexts(chosen) {
  for (const name of ["text", "other"]) if (name in chosen) byId(name).value = chosen[name];
  warn(refusal(byId("text").value) || (state.compare === "text" ? refusal(byId("other").value) : ""));
}

const refusal = (text) => isTooLong(text)
  ? `The text has ${lengthOf(text).toLocaleString("en-US")} characters, but this page takes at most ${folder.most.toLocaleString("en-US")}; shorten it.` : "";

function type(name, text) {
  warn(refusal(text));
  if (isTooLong(text)) return;
  if (name === "text") {
    stopWriting();
    keepEdits(text);
  }
  isPlaceKept = name === "other"; // which may move the slots of the first text
  state[name] = text;
  refresh();
}

function listen() {
  for (const name of ["text", "other"]) byId(name).addEventListener("input", ({ target }) => type(name, target.value));
  byId("model").addEventListener("change", ({ target: { value } }) =>
    choose({ model: value, edits: {}, layer: null, plain: null, compare: state.compare === value ? "" : state.compare }, true));
  byId("compare").addEventListener("change", ({ target: { value } }) =>
    choose({ compare: value, ...(value === "text" && !byId("other").value ? { other: state.text } : {}) }, true));
  byId("example").addEventListener("change", ({ target }) => {
    const example = folder.examples[Number(target.value)];
    if (target.value && example)
      choose({ text: example.text, model: example.model, slot: example.slot ?? null, character: example.character, edits: { ...example.edits }, layer: layerOfEdits(example), plain: null, compare: "", other: "" });
  });
  for (const name of ["back", "forth"]) byId(name).addEventListener("click", () => step(name));
  byId("link").addEventListener("click", copyLink);
  byId("inputs").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", openLink);
}

async function copyLink() {
  const link = linkOfState();
  if (link.length > LONGEST_LINK) return say("The text is too long for a link; save what you see instead.", true);
  history.replaceState(null, "", link);
  try {
    await navigator.clipboard.writeText(link);
    say("The link is copied.");
  } catch {
    say("The link is in the address bar.");
  }
}

function openLink() {
  const [found, damage] = stateFromLink();
  stopWriting();
  isPlaceKept = false;
  state = found;
  fillForm();
  fillTexts(found);
  if (damage) warn(damage);
  return refresh();
}

async function begin() {
  try {
    folder = await backend.open();
  } catch (error) {
    return say(sentenceOf(error), true);
  }
  fillSelect(byId("example"), [["", "choose one"], ...folder.examples.map(({ name }, index) => [String(index), name])], "");
  byId("about").textContent = folder.about;
  listen();
  await openLink();
}

begin();
