// The model runs on the server of `howfar explore`: see page.js for what a backend does.
"use strict";

const PAUSE = 150; // milliseconds without a key before anything but the picture is asked for

async function answerTo(route, question) {
  const options = question && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(question) };
  let answer;
  try {
    answer = await fetch(route, options);
  } catch {
    throw new Error("the server does not answer; see whether howfar explore still runs");
  }
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  if (answer.ok && !isJson) return answer.blob();
  const said = isJson ? await answer.json() : {};
  if (!answer.ok || said.error) throw new Error(said.error ?? `the server refuses this (${answer.status}); reload the page`);
  return said;
}

// Questions of one kind do not wait for those of another.
const reading = new Latest((question) => answerTo("read", question));
const changing = new Latest((question) => answerTo("effects", question));
const expecting = new Latest((question) => answerTo("expect", question));

function question() {
  const { text, other, model, compare, plain, view, slot } = state;
  return {
    text, model, compare, other: compare === "text" ? other : "", moves: moves(), plain: compare ? null : plain, view,
    cells: slot === null || !shown ? [] : shown.content.texts.map((one) => cellIn(one, slot)),
  };
}

let lastKey = -PAUSE;
document.addEventListener("input", ({ target }) => { if (target.tagName === "TEXTAREA") lastKey = performance.now(); }, true);

// Do something when no key has come for a while, unless it is wanted anew meanwhile.
const pausing = {};
function afterPause(name, act) {
  clearTimeout(pausing[name]);
  pausing[name] = setTimeout(act, Math.max(0, lastKey + PAUSE - performance.now()));
}

// An example selects and moves a character; which cell that is, a token or a character, is known when the text has been read.
function placeExample(ends) {
  const slot = ends.findIndex((end) => end > state.character);
  const edits = Object.entries(state.edits).map(([key, factor]) => [`${key.split(":")[0]}:${slot}`, factor]);
  Object.assign(state, slot < 0 ? { slot: null, edits: {} } : { slot, edits: Object.fromEntries(edits) }); // none if a shorter text was typed meanwhile
  delete state.character;
}

const backend = {
  canBePlain: true,
  open: () => answerTo("folder.json"),

  // The picture has its changed steps at once; what the model makes of them comes with its answer. A text is asked for once.
  async read() {
    const asked = question(), key = JSON.stringify([asked.model, asked.compare, asked.text, asked.other]);
    const answer = key === known.key ? known : await reading.ask("read", asked);
    if (!answer) return null;
    if (answer !== known) known = { ...answer, key, effects: null };
    const { content, ends, numTokens } = known;
    if (state.character !== undefined) placeExample(ends);
    const isEdited = !state.compare && (state.plain !== null || isAnyMoved());
    if (!isEdited) known.effects = null;
    const { losses = null, first = null, isPart = false } = known.effects ?? {};
    return { content: inWords(isEdited ? movedContent() : content), before: isEdited ? content : null, isEdited, losses, first, isPart, ends, numTokens };
  },

  expect(show) {
    showExpected = () => show(expected);
    showExpected();
    if (state.compare || written?.isGoing) return;
    afterPause("expect", async () => {
      const asked = question(), key = JSON.stringify(asked);
      if (key === keyOfExpected) return;
      keyOfExpected = key;
      try {
        const answer = await expecting.ask("expect", asked);
        if (!answer || key !== keyOfExpected) return;
        expected = answer.expected.map((row) => ({ ...row, label: NAMES[row.label] ?? row.label }));
        showExpected();
      } catch (error) {
        keyOfExpected = "";
        say(sentenceOf(error), true);
      }
    });
  },

  next: async (text) => (await answerTo("write", { ...question(), text, compare: "", other: "" })).next,
  startState: startPanels,
  stateOf: panelsFromLink,
  follow() {
    if (written?.isGoing) return;
    afterPause("panel", followPicture);
    if (shown.isEdited && known.effects?.of !== movesAsked()) afterPause("effects", showEffects);
  },
};

const NAMES = { "␣": "space", "⟨end⟩": "end of document" };
let expected = [], showExpected = () => {}, keyOfExpected = "";

let known = { key: null }; // the latest answer about a text: content, ends, numTokens, and the effects of its changed steps

const inWords = (content) => Object.assign(content, { captions: findings(content), description: describe(content) });

// The content with changed steps: as the model's latest answer has them, and those that were changed since by their factors.
function movedContent() {
  const { content, effects } = known, answered = effects?.content.plain === state.plain ? effects.content : content;
  return howfarSpacing.withFactors(answered, content, moves());
}

// What the latest answer must be about.
const movesAsked = () => JSON.stringify([moves(), state.plain]);

async function showEffects() {
  const { key } = known, of = movesAsked();
  try {
    const answer = await changing.ask("effects", question());
    if (!answer || known.key !== key || !isShown() || !shown.isEdited) return;
    known.effects = { ...answer, of };
    const { losses, first, isPart } = answer;
    Object.assign(shown, { losses, first, isPart, content: inWords(movedContent()) });
    draw(shown.content, shown.before);
  } catch (error) {
    say(sentenceOf(error), true);
  }
}
