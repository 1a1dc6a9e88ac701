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

  async read() {
    const answer = await reading.ask("read", question());
    if (!answer) return null;
    const { content, gaps, ends, numTokens, losses = [], hasMore = false } = answer;
    const rows = gaps ? content.rows.map((row, index) => (gaps[index] ? { ...row, gaps: gaps[index] } : row)) : content.rows;
    const drawn = { ...content, rows };
    Object.assign(drawn, { captions: findings(drawn), description: describe(drawn) });
    return { content: drawn, before: gaps ? content : null, isEdited: Boolean(gaps), losses, hasMore, ends, numTokens };
  },

  expect(show) {
    show(expected);
    if (state.compare || written?.isGoing) return;
    const own = ++revisionOfExpected;
    afterPause("expect", async () => {
      try {
        const answer = await expecting.ask("expect", question());
        if (!answer || own !== revisionOfExpected) return;
        expected = answer.expected.map((row) => ({ ...row, label: NAMES[row.label] ?? row.label }));
        show(expected);
      } catch (error) {
        say(sentenceOf(error), true);
      }
    });
  },

  next: async (text) => (await answerTo("write", { ...question(), text, compare: "", other: "" })).next,
  startState: startPanels,
  stateOf: panelsFromLink,
  follow: () => { if (!written?.isGoing) afterPause("panel", showPanels); },
};

const NAMES = { "␣": "space", "⟨end⟩": "end of document" };
let expected = [], revisionOfExpected = 0;
