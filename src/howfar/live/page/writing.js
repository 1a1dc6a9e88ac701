// The text as the visitor or the model changes it: what stays of the moved steps, and what the model writes.
"use strict";

const MOST_WRITTEN = 80; // characters
let written = null; // { before: the text as it was, isGoing }

// Steps that were moved belong to the text that is shown: they are dropped where it changes, and after that.
function keepEdits(after) {
  if (!shown) return;
  const { text, ends } = shown;
  let same = 0;
  while (same < Math.min(text.length, after.length) && text[same] === after[same]) same++;
  for (const key of Object.keys(state.edits)) if (!(ends[Number(key.split(":")[1])] <= same)) delete state.edits[key];
}

// Let the model write after the selected character, with the moved steps; the picture grows with each character.
async function writeOn() {
  if (written?.isGoing) return void (written.isGoing = false);
  const own = written = { before: state.text, isGoing: true };
  let text = state.text.slice(0, shown.ends[state.slot ?? shown.ends.length - 1]);
  try {
    for (let count = 0; own.isGoing && count < MOST_WRITTEN; count++) {
      const next = await backend.next(text);
      if (next === null || own !== written) break;
      text += next;
      await putText(text);
    }
  } catch (error) {
    say(sentenceOf(error), true);
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

function takeBack() {
  putText(written.before);
  written = null;
}

function putText(text) {
  byId("text").value = text;
  keepEdits(text);
  state.text = text;
  return refresh();
}
