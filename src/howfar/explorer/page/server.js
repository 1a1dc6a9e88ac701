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
  const { text, other, model, compare, edits, plain, view, slot } = state;
  return {
    text, model, compare, other: compare === "text" ? other : "", moves: edits, plain, view,
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

const backend = {
  canBePlain: true,
  open: () => answerTo("folder.json"),

  // The picture has its changed steps at once; what else they change comes with the model's answer.
  async read(isWanted) {
    const answer = await reading.ask("read", question());
    if (!answer) return null;
    const { content, ends, numTokens } = answer, isEdited = !state.compare && (state.plain !== null || Object.values(state.edits).some((factor) => factor !== 1));
    if (isEdited && !written?.isGoing) afterPause("effects", () => showEffects(content, isWanted));
    const drawn = inWords({ ...content, rows: isEdited ? movedRows(content) : content.rows });
    return { content: drawn, before: isEdited ? content : null, isEdited, losses: null, hasMore: false, ends, numTokens };
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
  follow: () => { if (!written?.isGoing) afterPause("panel", followPicture); },
};

const NAMES = { "␣": "space", "⟨end⟩": "end of document" };
let expected = [], showExpected = () => {}, keyOfExpected = "";

const inWords = (content) => Object.assign(content, { captions: findings(content), description: describe(content) });

// The rows with the changed steps alone, before the model has said what else they change.
function movedRows(content) {
  const { tokens } = content.texts[0], layerOf = ({ name }) => /layer (\d+)$/.exec(name)?.[1] ?? "all";
  const isIn = (layer, row) => !row.isPlain && (layer === "all" || layer === layerOf(row));
  return content.rows.map((row) => {
    const gaps = state.plain !== null && isIn(state.plain, row) ? tokens.slice() : row.gaps.slice();
    for (const [key, factor] of Object.entries(state.edits)) {
      const [layer, slot] = key.split(":");
      if (isIn(layer, row) && Number(slot) < gaps.length) gaps[slot] *= factor;
    }
    return { ...row, gaps };
  });
}

async function showEffects(content, isWanted) {
  try {
    const answer = await changing.ask("effects", question());
    if (!answer || !isWanted()) return;
    const { gaps, losses, hasMore } = answer;
    const rows = content.rows.map((row, index) => (gaps[index] ? { ...row, gaps: gaps[index] } : row));
    Object.assign(shown, { losses, hasMore, content: inWords({ ...content, rows }) });
    draw(shown.content, shown.before);
  } catch (error) {
    say(sentenceOf(error), true);
  }
}
