// What a picture shows, in words, from its numbers: as `howfar.charts.spacing.captions` says it. KINDS are Python's.
"use strict";

// At most two sentences, as Python writes them: words that a row draws together, and at which kind of character a row steps otherwise.
const LEAST_MEMBERS = 3, LEAST_RATIO = 1.25, LEAST_ERRORS = 3, MOST_FINDINGS = 2, CLOSE = 0.5, LEAST_SPACES = 2, MOST_QUOTED = 60, ROUNDING = 1e-4;
const findings = (content) => [...changes(content), ...numbersInWords(content), ...notCompared(content)];
function numbersInWords(content) {
  const { spreadOf, percent } = howfarSpacing;
  const learned = content.rows.filter((row) => !row.isPlain);
  const closer = (one, other) => other.count - one.count || one.mean - other.mean;
  const together = learned.map((row) => drawnTogether(content, row)).filter(Boolean).sort(closer).slice(0, 1);
  const kinds = learned.map((row) => finding(content, row)).filter(Boolean).sort((one, other) => other.size - one.size);
  const found = [...together, ...kinds];
  const spreads = learned.map((row) => spreadOf(content, row)), most = Math.max(...spreads);
  const isPlain = (row) => row.gaps.every((gap, slot) => gap === content.texts[row.text].tokens[slot]);
  if (learned.every(isPlain)) return ["Every step is 1: these are plain positions."];
  if (!(most > 0)) return [learned.length > 1 ? "Every row's steps are equal." : "All steps are equal."];
  if (most < ROUNDING) return [`${learned.length > 1 ? "Every row" : "The row"}'s steps are equal, to a hundredth of a percent.`];
  if (found.length) return found.slice(0, MOST_FINDINGS).map(({ sentence }) => sentence);
  const widest = learned[spreads.indexOf(most)], which = learned.length > 1 ? `Steps of ${widest.name} vary most,` : "Steps vary";
  return [`${which} by ±${percent(most)}; the longest is to ${aKind(longestKind(content, widest))}.`];
}

// Of two readings, a sentence on the rows without a difference, which would look like rows that do not differ.
function notCompared({ texts, rows }) {
  const learned = rows.filter((row) => !row.isPlain), numAlone = learned.filter((row) => !row.difference).length;
  if (texts.length < 2 || !numAlone) return [];
  return [`${numAlone} of ${learned.length} rows ${numAlone === 1 ? "has" : "have"} no counterpart in the other model, and so no difference from it.`];
}

// What is not the model's own: a sentence on steps that are multiplied, and one on those that are plain.
const MOST_MOVED = 3;
function changes({ moves, plain, texts, noun }) {
  const { short } = howfarSpacing, sentences = [];
  const layerNamed = (layer) => (layer === "all" ? "all layers" : `layer ${layer}`), first = (one, other) => (one < other ? -1 : 1);
  const label = (text) => (text.trim() ? `“${text}”` : "a space");
  const moved = Object.entries(moves).map(([key, factor]) => ({ layer: key.split(":")[0], slot: Number(key.split(":")[1]), factor }))
    .filter(({ layer }) => plain !== "all" && plain !== layer).sort((one, other) => one.slot - other.slot || first(one.layer, other.layer));
  const named = moved.slice(0, MOST_MOVED).map(({ layer, slot, factor }) =>
    `the step to ${label(texts[0].labels[slot])} (${noun} ${(slot + 1).toLocaleString("en-US")}) is multiplied by ${short(factor, 4)} in ${layerNamed(layer)}`);
  if (moved.length > MOST_MOVED) named.push(`and ${(moved.length - MOST_MOVED).toLocaleString("en-US")} more`);
  if (moved.length) sentences.push(`${moved.length === 1 ? "One step is" : "Steps are"} changed: ${named.join("; ")}.`);
  if (plain !== null) sentences.push(plain === "all" ? "All layers advance by plain +1." : `Layer ${plain} advances by plain +1.`);
  return sentences;
}

// The most words with short steps at all spaces between them.
function drawnTogether(content, row) {
  const { ratioOf, short } = howfarSpacing, { kinds, labels, tokens } = content.texts[row.text], ratio = ratioOf(content, row);
  const isA = (slot, ...names) => tokens[slot] > 0 && names.includes(KINDS[kinds[slot]]);
  const isLetter = (slot) => isA(slot, "capital letter", "lowercase letter", "digit");
  const isInWord = (slot) => isLetter(slot) || isA(slot, "punctuation mark");
  const spaces = kinds.flatMap((_, slot) => (isA(slot, "space") ? [slot] : []));
  const total = (slots) => slots.reduce((sum, slot) => sum + ratio[slot], 0), whole = total(spaces);
  const runs = [[]];
  for (const slot of spaces) {
    if (ratio[slot] <= CLOSE && isLetter(slot - 1) && isLetter(slot + 1)) runs.at(-1).push(slot);
    else runs.push([]);
  }
  let best = null;
  for (const inside of runs) {
    const numOthers = spaces.length - inside.length;
    if (inside.length < LEAST_SPACES || numOthers < LEAST_MEMBERS) continue;
    const here = total(inside) / inside.length;
    if (whole - total(inside) < numOthers) continue; // the other spaces take less than an average step
    if (best && (inside.length < best.count || (inside.length === best.count && here >= best.mean))) continue;
    let first = inside[0] - 1, last = inside.at(-1) + 1;
    while (isInWord(first - 1)) first--;
    while (isInWord(last + 1)) last++;
    while (!isLetter(first)) first++; // without a bracket or comma at the words' ends
    while (!isLetter(last)) last--;
    const words = quoted(labels.slice(first, last + 1));
    best = { count: inside.length, mean: here, sentence: `In ${row.name}, each space inside “${words}” takes ${short(here, 2)} of an average step.` };
  }
  return best;
}

// The picture for readers who do not see it: each row's mean, spread, and widest and narrowest steps.
function describe({ title, texts, noun, rows, moves, plain }) {
  const { ratioOf, spreadOf, percent } = howfarSpacing, learned = rows.filter((row) => !row.isPlain), content = { texts, rows };
  const named = (label) => (label.trim() ? label : "a space");
  const said = learned.map((row) => {
    const { labels, tokens } = texts[row.text], ratio = ratioOf(content, row);
    const ordered = Array.from(ratio.keys()).filter((slot) => tokens[slot] > 0).sort((one, other) => ratio[one] - ratio[other]);
    const [low, high] = [ordered[0], ordered.at(-1)];
    return `${row.name}, mean ${row.mean.toFixed(2)} ±${percent(spreadOf(content, row))}: steps from ${ratio[low].toFixed(2)} of the `
      + `average (to ${named(labels[low])}) to ${ratio[high].toFixed(2)} (to ${named(labels[high])}).`;
  });
  const { labels, tokens, noun: own } = texts[0], size = tokens.filter((count) => count > 0).length;
  const below = `${counted(`${learned.length}`, "row")} below one of plain positions`;
  return [`${title}: ${counted(size.toLocaleString("en-US"), own)}, “${quoted(labels)}”, in ${below}.`, ...changes({ moves, plain, texts, noun }), ...said].join(" ");
}

// The text of slots, cut where it is long.
const quoted = (labels) => (labels.length > MOST_QUOTED ? [...labels.slice(0, MOST_QUOTED - 1), "…"] : labels).join("");

const aKind = (kind) => `${"aeiou".includes(KINDS[kind][0]) ? "an" : "a"} ${KINDS[kind]}`;

// Of the longest step per token, except for the first, which no character is before.
function longestKind(content, row) {
  const { kinds, tokens } = content.texts[row.text];
  const first = tokens.findIndex((count) => count > 0);
  const ratio = howfarSpacing.ratioOf(content, row).map((value, slot) => (slot > first && tokens[slot] > 0 ? value : -Infinity));
  return kinds[Math.min(kinds.length - 1, Math.max(first + 1, ratio.indexOf(Math.max(...ratio))))];
}

function finding(content, row) {
  const { ratioOf, short } = howfarSpacing, { kinds, tokens } = content.texts[row.text], ratio = ratioOf(content, row);
  const mean = (values) => values.reduce((total, value) => total + value, 0) / values.length;
  const variance = (values, middle) => values.reduce((total, value) => total + (value - middle) ** 2, 0) / (values.length - 1);
  const present = kinds.flatMap((_, slot) => (tokens[slot] > 0 ? [slot] : []));
  let best = null;
  for (const kind of [...new Set(present.map((slot) => kinds[slot]))].sort((one, other) => one - other)) {
    const own = present.filter((slot) => kinds[slot] === kind).map((slot) => ratio[slot]);
    const rest = present.filter((slot) => kinds[slot] !== kind).map((slot) => ratio[slot]);
    const [here, elsewhere] = [mean(own), mean(rest)];
    if (Math.min(own.length, rest.length) < LEAST_MEMBERS || !(here > 0 && elsewhere > 0)) continue;
    const error = Math.sqrt(variance(own, here) / own.length + variance(rest, elsewhere) / rest.length);
    const size = Math.abs(Math.log(here / elsewhere));
    if (size < Math.log(LEAST_RATIO) || Math.abs(here - elsewhere) < LEAST_ERRORS * error || (best && size <= best.size)) continue;
    const many = own.length.toLocaleString("en-US");
    best = { size, sentence: `In ${row.name}, a step to ${aKind(kind)} (there are ${many}) is ${short(here, 2)} times the average, to anything else ${short(elsewhere, 2)} times.` };
  }
  return best;
}
