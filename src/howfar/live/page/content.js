// From a model's numbers to the content of a picture of spacing: the same fields as `howfar.charts.spacing.content`.
// KINDS, PATTERN_OF_KIND, PATTERN_OF_CLASS, WHITESPACE and JOINING are Python's: see `characters` in `howfar.live.site`.
"use strict";

const IS_KIND = Object.entries(PATTERN_OF_KIND).map(([kind, source]) => [kind, new RegExp(source, "u")]);
const IS = Object.fromEntries(Object.entries(PATTERN_OF_CLASS).map(([name, source]) => [name, new RegExp(source, "u")]));
const LETTERS = "AB"; // names of two readings, in the names of their rows
const rounded = (value, digits = 5) => Number(value.toPrecision(digits));

// Text in cells, each one character as a reader sees it, with the number of its bytes in UTF-8.
function cellsOf(text) {
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  const encoder = new TextEncoder();
  const cells = Array.from(segmenter.segment(text), ({ segment }) => ({
    text: segment, numTokens: encoder.encode(segment).length,
  }));
  let token = 0;
  for (const cell of cells) {
    cell.firstToken = token;
    token += cell.numTokens;
  }
  return cells;
}

function kindOf(text) {
  const first = String.fromCodePoint(text.codePointAt(0));
  const name = IS_KIND.find(([, pattern]) => pattern.test(first))?.[0] ?? "symbol";
  return KINDS.indexOf(name);
}

function visible(text) {
  if (text in WHITESPACE) return WHITESPACE[text];
  const characters = Array.from(text.replaceAll("\r\n", "\n"));
  return characters.map((character) => {
    if (character in WHITESPACE) return WHITESPACE[character];
    if (!IS.invisible.test(character) || (Array.from(text).length > 1 && IS.joiner.test(character))) return character;
    const code = character.codePointAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `U+${hex(code)}`;
  }).join("");
}

// Letters that join their neighbours, as in Arabic, keep the shapes that they have within words.
function joined(labels) {
  const shaped = labels.slice();
  for (let place = 1; place < labels.length; place++) {
    const [left, right] = [place - 1, place].map((at) => String.fromCodePoint(labels[at].codePointAt(0) ?? 0));
    if (!JOINING.Dual.includes(left)) continue;
    if (!JOINING.Dual.includes(right) && !JOINING.Right.includes(right)) continue;
    shaped[place - 1] += "\u200d";
    shaped[place] = `\u200d${shaped[place]}`;
  }
  return shaped;
}

const hex = (code) => code.toString(16).toUpperCase().padStart(4, "0");

// Align two texts: stretches that both share have the same slots; between them, differing characters face each other one by one.
function aligned(texts) {
  if (texts.length === 1) return [texts[0].map((_, index) => index)];
  const [a, b] = texts, first = [], second = [];
  let i = 0, j = 0;
  for (const [nextI, nextJ, size] of [...sharedStretches(a, b), [a.length, b.length, 0]]) {
    const stop = Math.max(nextI - i, nextJ - j);
    for (let place = 0; place < stop; place++) {
      first.push(i + place < nextI ? i + place : null);
      second.push(j + place < nextJ ? j + place : null);
    }
    for (let place = 0; place < size; place++) {
      first.push(nextI + place);
      second.push(nextJ + place);
    }
    [i, j] = [nextI + size, nextJ + size];
  }
  return [first, second];
}

// The longest stretch that two texts share, and in the same way those before it and after it, as Python's difflib finds them.
function sharedStretches(a, b) {
  const places = new Map(), found = [];
  b.forEach((one, j) => places.has(one) ? places.get(one).push(j) : places.set(one, [j]));
  const search = (firstI, stopI, firstJ, stopJ) => {
    let best = [firstI, firstJ, 0], lengths = new Map(); // of the stretches that end at each place of b
    for (let i = firstI; i < stopI; i++) {
      const longer = new Map();
      for (const j of places.get(a[i]) ?? []) {
        if (j < firstJ || j >= stopJ) continue;
        const length = (lengths.get(j - 1) ?? 0) + 1;
        longer.set(j, length);
        if (length > best[2]) best = [i + 1 - length, j + 1 - length, length];
      }
      lengths = longer;
    }
    const [i, j, size] = best;
    if (!size) return;
    search(firstI, i, firstJ, j);
    found.push(best);
    search(i + size, stopI, j + size, stopJ);
  };
  search(0, a.length, 0, b.length);
  return found;
}

// `readings`: one, or two to compare; each { model, asked, text, increments [layer][token], numHeads, surprisal, entropy }
// where `text` is as much of the text that is asked for as the model reads, tokens are the document mark and then the text's
// bytes, and `model` is what the folder says of it. `before` is the content without
// the moved steps, if there are any: rows keep its units, so that moving one step does not make the others look shorter.
function contentOf(readings, before = null) {
  const cells = readings.map(({ text }) => cellsOf(text));
  const drawn = cells.map((all) => all.slice(0, numDrawn(all)));
  const slots = aligned(drawn.map((all) => all.map((cell) => cell.text)));
  const at = (values, places, empty = 0) => places.map((cell) => (cell === null ? empty : values[cell]));
  const perCell = (values, all) => all.map(({ firstToken, numTokens }) => {
    let total = 0;
    for (let token = firstToken; token < firstToken + numTokens; token++) total += values[token + 1];
    return total;
  });

  const texts = readings.map((reading, index) => {
    const all = cells[index], places = slots[index];
    const own = places.map((cell) => (cell === null ? "" : all[cell].text));
    const labels = joined(own.map((text) => (text ? visible(text) : "")));
    const codes = Object.fromEntries(labels.flatMap((label, slot) => label === own[slot] ? [] : [[slot, codePoints(own[slot])]]));
    return {
      noun: "character", unit: "byte", labels, codes,
      tokens: places.map((cell) => (cell === null ? 0 : all[cell].numTokens)),
      kinds: own.map((text) => (text ? kindOf(text) : 0)),
      surprisal: at(perCell(reading.surprisal, all), places).map((value) => rounded(value)),
      entropy: at(all.map(({ firstToken, numTokens }) => reading.entropy[firstToken + numTokens]), places).map((value) => rounded(value)),
    };
  });

  const plain = { name: "plain", text: 0, mean: 1, gaps: at(cells[0].map((cell) => cell.numTokens), slots[0]), isPlain: true, difference: null, parts: {} };
  const learned = readings.map((reading, index) => rowsOf(reading, cells[index]));
  if (readings.length > 1 && readings[0].model.name === readings[1].model.name) giveOneMean(learned);
  const rows = [plain];
  for (const name of new Set(learned.flatMap((own) => own.map((row) => row.name)))) {
    const pair = learned.map((own) => own.find((row) => row.name === name));
    const relative = pair.map((row, index) => row && at(
      row.gaps.map((gap, cell) => gap / (cells[index][cell].numTokens * (row.mean > 0 ? row.mean : 1))), slots[index], null));
    pair.forEach((row, index) => {
      if (!row) return;
      const [own, other] = [relative[index], relative[1 - index]];
      rows.push({
        name: readings.length > 1 ? `${LETTERS[index]} ${name}` : name,
        text: index,
        mean: rounded(row.mean),
        gaps: at(row.gaps, slots[index]).map((gap) => rounded(gap)),
        isPlain: false,
        difference: readings.length > 1 && other
          ? own.map((value, slot) => value === null || other[slot] === null ? null : rounded(value - other[slot])) : null,
        parts: partsOf(row, cells[index], slots[index]),
      });
    });
  }
  const means = rows.filter((row) => !row.isPlain).map((row) => row.mean);
  if (before) rows.forEach((row, index) => { row.mean = before.rows[index].mean; });
  const models = [...new Set(readings.map(({ model }) => model.name))];
  const isOneText = new Set(readings.map(({ asked }) => asked)).size === 1; // though one model may read less of it
  const what = !isOneText ? (models.length === 1 ? "two texts, A and B" : "two texts") : "this text";
  const named = models.length > 1 ? models.map((model, index) => `${model} (${LETTERS[index]})`) : models;
  const over = `${readings[0].numHeads > 1 ? ", mean over heads" : ""}${!isOneText && models.length === 1 ? " (means over both)" : ""}`;
  const title = `How ${named.join(" and ")} ${models.length > 1 ? "space" : "spaces"} ${what}${over}`;
  const content = {
    title, captions: [], description: "", noun: "character", unit: "byte", rightToLeft: readsRightToLeft(readings[0].text),
    sharedMean: before?.sharedMean ?? rounded(means.reduce((total, mean) => total + mean, 0) / Math.max(1, means.length)), isOneText, texts, rows,
    moves: before ? movesIn(rows, texts[0].labels.length) : {}, plain: null,
  };
  content.captions = findings(content);
  content.description = describe(content);
  return content;
}

// Rows of one model share the average over both texts, so that an equal step looks equal.
function giveOneMean([first, second]) {
  for (const row of first) {
    const pair = [row, second.find(({ name }) => name === row.name)];
    if (!pair[1]) continue;
    const [here, there] = pair.map(({ advances }) => advances.length);
    const mean = (pair[0].mean * here + pair[1].mean * there) / (here + there);
    for (const one of pair) one.mean = mean;
  }
}

// The moved steps that the picture shows.
const movesIn = (rows, numSlots) => Object.fromEntries(Object.entries(moves()).filter(([key, factor]) => {
  const [layer, slot] = key.split(":");
  return factor !== 1 && Number(slot) < numSlots && (layer === "all" || rows.some(({ name }) => name === `layer ${layer}`));
}));

// All cells but a line end that is the text's last character, as files have it.
function numDrawn(cells) {
  const last = cells.at(-1)?.text;
  return cells.length - (cells.length > 1 && (last === "\n" || last === "\r\n") ? 1 : 0);
}

const codePoints = (text) => Array.from(text, (character) => `U+${hex(character.codePointAt(0))}`).join(" ");

// One row a layer, or one for all where they share their positions: mean increment, and how far each cell advances.
function rowsOf({ model, increments }, cells) {
  const layers = model.scope === "shared" && increments.every((row) => sameNumbers(row, increments[0])) ? [null] : model.layers;
  return layers.map((layer, index) => {
    const steps = increments[index].slice(1);
    const mean = steps.reduce((total, step) => total + step, 0) / steps.length;
    const advances = model.advance === "after" ? [increments[index][0], ...steps.slice(0, -1)] : steps;
    const gaps = cells.map(({ firstToken, numTokens }) => {
      let total = 0;
      for (let token = firstToken; token < firstToken + numTokens; token++) total += advances[token];
      return total;
    });
    return { name: layer === null ? "all layers" : `layer ${layer}`, mean, gaps, advances };
  });
}

const sameNumbers = (a, b) => a.every((value, index) => value === b[index]);

function partsOf(row, cells, places) {
  const parts = {};
  places.forEach((cell, slot) => {
    if (cell === null || cells[cell].numTokens < 2) return;
    const { firstToken, numTokens } = cells[cell];
    parts[slot] = Array.from(row.advances.slice(firstToken, firstToken + Math.min(numTokens, 12)), (step) => rounded(step, 3));
  });
  return parts;
}

// By the first character that has a direction.
const readsRightToLeft = (text) => IS.fromTheRight.test(text.match(IS.directed)?.[0] ?? "");
