/* The picture of spacing as SVG, drawn by the same rules as in Python; a browser test compares the two. The page defines
   what both read before this script: see `script` in `page.py`. Sums run from left to right, as in Python, so they round alike. */
const G = GEOMETRY, MIDDLE = (SHADES - 1) / 2;
const { bins: BINS, binWidth: BIN_WIDTH, binHeight: BIN_HEIGHT, swatch: SWATCH, strip: STRIP } = G;
const PATTERN = Object.fromEntries(Object.entries(PATTERNS).map(([name, source]) => [name, new RegExp(source, "u")]));
const ADDITIONS = new RegExp(PATTERNS.additions, "gu");

const range = (first, stop) => Array.from({ length: Math.max(0, stop - first) }, (_, index) => first + index);
const sum = values => { let total = 0; for (const value of values) total += value; return total; };
const largest = values => { let most = -Infinity; for (const value of values) if (value > most) most = value; return most; };
const clip = (value, low, high) => Math.min(Math.max(value, low), high);
const ascending = values => Float64Array.from(values).sort();
const escapeText = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#x27;");
const number = value => String(Math.trunc(value * 10 + (value < 0 ? -0.5 : 0.5)) / 10 || 0); // -0 is 0
const startsWith = (pattern, text) => { const found = PATTERN[pattern].exec(text); return found !== null && found.index === 0; };
const once = measure => { const known = new Map(); return label => { if (!known.has(label)) known.set(label, measure(label)); return known.get(label); }; };
const isWide = once(label => startsWith("eastAsian", label));
const characterWidth = character => (WIDTHS.find(([name]) => PATTERN[name].test(character)) ?? [0, 0.56])[1];
const widthInEms = once(label => Math.max(0.33, sum(Array.from(label.replace(ADDITIONS, ""), characterWidth))));
/* A label of a text that is read from right to left: brackets mirrored, several characters in its order. */
const turned = label => PATTERN.turned.test(label) ? `\u2067${label}\u2069` : label;
const grouped = value => value.toLocaleString("en-US");

function short(value, digits) {
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) < 1e6 ? String(Number(rounded.toPrecision(6))) : rounded.toFixed(0);
}

const percent = share => `${short(share * 100, 2)}%`;

/* Scales. */
function ratioOf(content, row) {
  const { tokens } = content.texts[row.text], unit = row.mean > 0 ? row.mean : 1;
  return row.gaps.map((gap, slot) => tokens[slot] > 0 ? gap / (unit * tokens[slot]) : 1);
}

function spreadOf(content, row) {
  const { tokens } = content.texts[row.text];
  const squares = ratioOf(content, row).filter((_, slot) => tokens[slot] > 0).map(ratio => (ratio - 1) * (ratio - 1));
  return Math.sqrt(sum(squares) / Math.max(1, squares.length));
}

const stretched = (ratio, stretch) => Math.max(G.contrastLeast, 1 + (ratio - 1) * stretch);

function lineOf(content, index, scale) {
  const row = content.rows[index], { tokens, unit } = content.texts[row.text];
  const ratio = ratioOf(content, row), spread = spreadOf(content, row);
  let note = row.isPlain ? `every ${tokens.some(count => count > 1) ? unit : "step"} 1` : `mean ${row.mean.toFixed(2)} ±${percent(spread)}`, stretch = 1, drawn;
  if (row.isPlain) drawn = tokens.slice();
  else if (scale === "contrast") {
    stretch = spread > 1e-6 ? G.contrastSpread / spread : 1;
    drawn = ratio.map((value, slot) => stretched(value, stretch) * tokens[slot]);
    note = `×${short(stretch, 2)} ±${percent(spread)}`;
  } else {
    const average = { "layer-mean": row.mean, raw: 1, shared: content.sharedMean }[scale];
    drawn = row.gaps.map(gap => gap / average);
  }
  return { rows: [index], name: row.name, note, ratio, drawn, stretch, isFolded: false, isPlain: row.isPlain };
}

function linesOf(content, scale, fold) {
  const lines = content.rows.map((_, index) => lineOf(content, index, scale));
  if (!fold) return lines;
  const spreads = content.rows.map(row => spreadOf(content, row)), folded = [];
  let widest = 0, run = [];
  content.rows.forEach((row, index) => { if (!row.isPlain && (content.rows[widest].isPlain || spreads[index] > spreads[widest])) widest = index; });
  content.rows.forEach((row, index) => {
    if (!row.isPlain && index !== widest && spreads[index] < G.even) return run.push(index);
    folded.push(...foldedRun(lines, run, spreads), lines[index]);
    run = [];
  });
  return [...folded, ...foldedRun(lines, run, spreads)];
}

function foldedRun(lines, run, spreads) {
  if (!run.length) return [];
  const mean = name => lines[run[0]][name].map((_, slot) => sum(run.map(index => lines[index][name][slot])) / run.length);
  const note = `even to ±${percent(largest(run.map(index => spreads[index])))}`;
  return [{ rows: run, name: spanOfNames(run.map(index => lines[index].name)), note, ratio: mean("ratio"), drawn: mean("drawn"), stretch: 1, isFolded: true, isPlain: false }];
}

function spanOfNames(names) {
  if (names.length === 1) return names[0];
  const split = name => { const at = name.lastIndexOf(" "); return [name.slice(0, Math.max(at, 0)), name.slice(at + 1)]; };
  const [[stem, first], [lastStem, last]] = [split(names[0]), split(names.at(-1))];
  return stem === lastStem && stem ? `${stem}s ${first}–${last}` : `${names.length} rows`;
}

/* Colours. */
const doublings = drawn => Math.log2(Math.max(drawn, 1 / 64));
const floored = value => clip(Math.floor(value * SHADES), 0, SHADES - 1);
const diverging = value => floored((value + 1) / 2);

function shadesOf(content, lines, colour, scale) {
  const textOf = line => content.texts[content.rows[line.rows[0]].text];
  const top = values => { const ordered = ascending(values); return ordered[Math.floor(0.98 * (ordered.length - 1))] || 1; };
  if (colour === "surprisal" || colour === "entropy") {
    const highest = top(content.texts.flatMap(text => text[colour]));
    const title = colour === "surprisal" ? `surprisal of the ${content.noun}` : "entropy of what follows";
    const of = lines.map(line => textOf(line)[colour].map(nats => floored(nats / highest)));
    return { of, letter: "s", title, ends: ["0", short(highest / 2, 2), `≥ ${short(highest, 2)} nats`] };
  }
  let title, ends, values;
  if (colour === "gap") {
    [title, ends] = [`step, over ${UNITS[scale]}`, ["≤ ½", "1", "≥ 2"]];
    values = lines.map(line => line.drawn.map((drawn, slot) => doublings(textOf(line).tokens[slot] > 0 ? drawn / textOf(line).tokens[slot] : 1)));
  } else if (colour === "rank") {
    [title, ends] = ["rank of the step in its row", ["shortest", "middle", "longest"]];
    values = lines.map(line => ranks(line.ratio, textOf(line).tokens));
  } else if (colour === "kind") {
    [title, ends] = ["step, against others of its kind", ["−2 sd", "their mean", "+2 sd"]];
    values = lines.map(line => againstKind(line.ratio, textOf(line)).map(value => value / 2));
  } else {
    const differences = lines.map(line => range(0, line.ratio.length).map(slot => sum(line.rows.map(row => content.rows[row].difference?.[slot] ?? 0)) / line.rows.length));
    const most = top(differences.flat().map(Math.abs));
    [title, ends] = ["difference of steps, in average ones", [`−${short(most, 2)}`, "0", `+${short(most, 2)}`]];
    values = differences.map(row => row.map(value => value / most));
  }
  const of = lines.map((line, index) => values[index].map(value => line.isPlain ? MIDDLE : diverging(value)));
  return { of, letter: "t", title, ends };
}

function ranks(ratio, tokens) {
  const ordered = ascending(ratio.filter((_, slot) => tokens[slot] > 0));
  const place = (value, isBelow) => {
    let low = 0, high = ordered.length;
    while (low < high) { const middle = (low + high) >> 1; if (isBelow(ordered[middle], value)) low = middle + 1; else high = middle; }
    return low;
  };
  return ratio.map(value => (place(value, (a, b) => a < b) + place(value, (a, b) => a <= b)) / Math.max(1, ordered.length) - 1);
}

function againstKind(ratio, { tokens, kinds }) {
  const of = new Map(), slots = range(0, ratio.length).filter(slot => tokens[slot] > 0);
  for (const slot of slots) {
    if (!of.has(kinds[slot])) of.set(kinds[slot], []);
    of.get(kinds[slot]).push(ratio[slot]);
  }
  const means = new Map([...of].map(([kind, values]) => [kind, sum(values) / values.length]));
  const deviations = ratio.map((value, slot) => tokens[slot] > 0 ? value - means.get(kinds[slot]) : 0);
  const spread = Math.sqrt(sum(slots.map(slot => deviations[slot] * deviations[slot])) / Math.max(1, slots.length));
  return deviations.map(deviation => deviation / Math.max(spread, 1e-9));
}

/* Layout. */
function layOut(drawn, letterWidths, isPause, width, rightToLeft, groups, fixedScale) {
  const room = roomOf(width), left = width - room - G.margin;
  const scale = fixedScale ?? pixelsPerStep(drawn, letterWidths, room, groups), most = G.widestGap * room; // longer steps are cut
  const lengths = drawn.map(row => row.map(step => clip(step * scale, -most, most)));
  const ends = lengths.map(row => { let at = 0; return row.map(length => at += length); });
  const begins = ends.map((row, line) => row.map((end, slot) => end - lengths[line][slot]));
  const panels = balanced(ends, begins, room, isPause);
  const end = ends.map(() => []), letters = ends.map(() => []);
  for (const { first, stop } of panels) {
    const offsets = ends.map((row, line) => row.slice(first, stop).map(place => place - begins[line][first]));
    const shift = Math.min(0, ...offsets.map(row => Math.min(...row)));
    offsets.forEach((row, line) => {
      const places = row.map(place => place - shift);
      end[line].push(...places);
      letters[line].push(...makeWay(places.map((place, index) => place - lengths[line][first + index] / 2), letterWidths[line].slice(first, stop), room));
    });
  }
  const seen = rows => rows.map(row => row.map(place => left + (rightToLeft ? room - place : place)));
  return {
    width, scale, most, panels, end: seen(end), letters: seen(letters),
    before: seen(end.map((row, line) => row.map((place, slot) => place - lengths[line][slot]))),
    isBroken: drawn.map(row => row.map(step => Math.abs(step * scale) > most)),
  };
}

function pixelsPerStep(drawn, letterWidths, room, groups) {
  const pixels = largest(groups.map(group => legible(group.map(line => drawn[line]), group.map(line => letterWidths[line]))));
  if (!pixels) return 1;
  const onePanel = room / Math.max(largest(drawn.map(row => sum(row.map(Math.abs)))), 1e-9);
  return onePanel > pixels / 1.25 ? Math.min(onePanel, 2 * pixels) : pixels;
}

function legible(drawn, letterWidths) {
  const sizes = [], needed = [];
  drawn.forEach((row, line) => row.slice(0, G.mostMeasured).forEach((step, slot) => {
    if (step === 0) return;
    sizes.push(Math.abs(step));
    needed.push(letterWidths[line][slot] + G.padding);
  }));
  if (!sizes.length) return 0;
  const median = ascending(sizes)[Math.floor(sizes.length / 2)];
  const mean = sum(sizes.map(size => Math.min(size, G.huge * median))) / sizes.length;
  const wanted = ascending(needed.map((need, index) => need / Math.max(sizes[index], mean / 20)))[Math.floor(0.75 * (sizes.length - 1))];
  const typical = sum(needed) / needed.length / mean;
  return Math.min(Math.max(wanted, 1.2 * typical), 2 * typical);
}

function balanced(ends, begins, room, isPause) {
  let panels = wrap(ends, begins, room, isPause);
  if (panels.length < 2 || panels.length > G.mostBalanced) return panels;
  for (const share of [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6]) {
    const narrower = wrap(ends, begins, room * share, isPause);
    if (narrower.length !== panels.length) break;
    panels = narrower;
  }
  return panels;
}

function wrap(ends, begins, room, isPause) {
  const panels = [], numSlots = ends[0].length;
  for (let first = 0; first < numSlots;) {
    const low = ends.map(() => 0), high = ends.map(() => 0);
    let lowest = 0, highest = 0, fits = 0;
    for (const last = Math.min(numSlots, first + G.mostCells); first + fits < last; fits++) {
      for (let line = 0; line < ends.length; line++) {
        const offset = ends[line][first + fits] - begins[line][first];
        lowest = Math.min(lowest, offset);
        highest = Math.max(highest, offset);
      }
      if (highest - lowest > room + 1e-6) break;
    }
    let stop = first + Math.max(1, fits);
    if (stop < numSlots) {
      const pauses = range(stop - Math.floor(fits / 6), stop).filter(slot => isPause[slot]);
      if (pauses.length) stop = pauses.at(-1) + 1;
    }
    panels.push({ first, stop });
    first = stop;
  }
  return panels;
}

function makeWay(middles, widths, room) {
  const order = range(0, middles.length).sort((a, b) => middles[a] - middles[b]).filter(slot => widths[slot] > 0);
  const blocks = [], needed = [], moved = middles.slice();
  let filled = 0;
  for (const slot of order) {
    filled += widths[slot];
    needed.push(filled - widths[slot] / 2);
    let total = middles[slot] - needed.at(-1), count = 1;
    while (blocks.length && blocks.at(-1)[0] * count > total * blocks.at(-1)[1]) {
      const [before, many] = blocks.pop();
      [total, count] = [before + total, many + count];
    }
    blocks.push([total, count]);
  }
  const free = blocks.flatMap(([total, count]) => Array(count).fill(total / count));
  const last = Math.max(-G.margin, room + G.margin - filled);
  order.forEach((slot, index) => { moved[slot] = clip(free[index], -G.margin, last) + needed[index]; });
  return moved;
}

/* Elements. */
function stroke(shade, height, marks, middle) {
  const y = number(middle), path = marks.map(([start, length]) => `M${number(start)} ${y}h${number(length)}`).join("");
  return path && `<path class="${shade}" stroke-width="${number(height)}" d="${path}"/>`;
}

function lettersOf(given, places, rightToLeft) {
  const labels = rightToLeft ? given.map(turned) : given;
  const pieces = [];
  let run = [], runIsWide = false;
  const piece = (at, label, wide) => pieces.push(`<tspan${wide ? ' class="wide"' : ""} x="${at}">${escapeText(label)}</tspan>`);
  const flush = () => {
    if (run.length) piece(run.map(slot => number(places[slot])).join(" "), run.map(slot => labels[slot]).join(""), runIsWide);
    run = [];
  };
  labels.forEach((label, slot) => {
    if (!label) return;
    const wide = isWide(label);
    if (label.length > 1) { flush(); piece(number(places[slot]), label, wide); return; }
    if (wide !== runIsWide && label !== " ") { flush(); runIsWide = wide; }
    run.push(slot);
  });
  flush();
  return pieces.join("");
}

/* A character's tile: one mark, or a mark for each of its tokens where colours show steps. */
function stepsOf({ content, view, textOf, lines }, index, slot) {
  const line = lines[index], parts = content.rows[line.rows[0]].parts[slot], numTokens = textOf(line).tokens[slot];
  if (!parts || line.isFolded || view.colour !== "gap" || parts.length !== numTokens || Math.min(...parts) <= 0) return null;
  const whole = sum(parts), ratios = parts.map(part => part / whole * numTokens * line.ratio[slot]);
  const steps = line.stretch === 1 ? ratios : ratios.map(ratio => stretched(ratio, line.stretch)), total = sum(steps);
  return steps.map(step => step / total * line.drawn[slot]);
}

function piecesOf(drawing, index, slot) {
  const steps = stepsOf(drawing, index, slot), pieces = [];
  if (!steps) return [[drawing.shades.of[index][slot], 0, 1]];
  const whole = sum(steps);
  let total = 0, begin = 0;
  for (const step of steps) {
    total += step;
    const shade = diverging(doublings(step)), end = total / whole;
    pieces.push([shade, pieces.at(-1)?.[0] === shade ? pieces.pop()[1] : begin, end]);
    begin = end;
  }
  return drawing.content.rightToLeft ? pieces.reverse().map(([shade, from, to]) => [shade, 1 - to, 1 - from]) : pieces;
}

function tilesOf(drawing, index, places, middle) {
  const marks = range(0, SHADES).map(() => []);
  for (const [slot, left, length] of places) {
    const pieces = piecesOf(drawing, index, slot), gap = pieces.length === 1 ? G.tileGap : G.dividedGap;
    const start = left + gap / 2, room = Math.max(length - gap, 0.3);
    for (const [shade, begin, end] of pieces) marks[shade].push([start + begin * room, (end - begin) * room]);
  }
  const height = drawing.lines[index].isFolded ? G.thinTileHeight : G.tileHeight;
  return marks.map((of, shade) => stroke(`${drawing.shades.letter}${shade}`, height, of, middle)).join("");
}

/* A dot in the tile of each space, which would be blank, where letters leave room for it. */
function spacesOf(labels, places, middle) {
  const dots = places.filter(([slot, , length]) => labels[slot] === " " && length >= G.roomForDot).map(([, left, length]) => `M${number(left + length / 2)} ${number(middle)}h0`);
  return dots.length ? `<path class="spaces" d="${dots.join("")}"/>` : "";
}

const isDivided = ({ content, lines, view }) => view.colour === "gap" && lines.some(line => !line.isFolded && Object.keys(content.rows[line.rows[0]].parts).length > 0);

const roomOf = width => width - (width < G.narrow ? G.margin : G.gutter) - G.margin;

/* The drawn lines of a picture, the widths of their letters, and the groups in which they must fit: where one text has letters and
   the other words, the lines of each; else all lines. */
function drawnLines(content, view) {
  const folds = view.rows === "auto" && view.scale !== "contrast" && ["gap", "surprisal", "entropy"].includes(view.colour);
  const lines = linesOf(content, view.scale, folds);
  const widths = content.texts.map(text => text.labels.map(label => label.trim() ? G.fontSize * widthInEms(label) : 0));
  const letterWidths = lines.map(line => line.isFolded ? line.drawn.map(() => 0) : widths[content.rows[line.rows[0]].text]);
  const texts = lines.map(line => content.rows[line.rows[0]].text), isMixed = new Set(content.texts.map(({ noun }) => noun)).size > 1;
  const groups = isMixed ? [0, 1].map(text => range(0, lines.length).filter(line => texts[line] === text)) : [range(0, lines.length)];
  return { lines, letterWidths, groups };
}

/* Pixels per step of a picture in a width. */
function scaleOf(content, view, width) {
  const { lines, letterWidths, groups } = drawnLines(content, view);
  return pixelsPerStep(lines.map(line => line.drawn), letterWidths, roomOf(width), groups);
}

/* A picture laid out for a width: `header()` and `panel(index)` return the content of SVG elements. `scale`, in pixels per
   step, is optional; it keeps the other gaps as wide as they were while one gap is moved. */
function draw(content, view, width, scale) {
  const isNarrow = width < G.narrow;
  const { lines, letterWidths, groups } = drawnLines(content, view), shades = shadesOf(content, lines, view.colour, view.scale);
  const textOf = line => content.texts[content.rows[line.rows[0]].text];
  const isPause = content.texts[0].labels.map(label => label.endsWith(" ") || label.endsWith("⏎"));
  const layout = layOut(lines.map(line => line.drawn), letterWidths, isPause, width, content.rightToLeft, groups, scale);
  const middles = [];
  let panelHeight = 0;
  for (const line of lines) {
    const head = isNarrow ? G.headHeight : 0, pitch = line.isFolded ? G.thinPitch : G.rowPitch;
    middles.push(panelHeight + head + pitch / 2);
    panelHeight += head + pitch;
  }
  panelHeight += G.panelSpacing;
  const keyHeight = isNarrow ? G.keyHeightNarrow : G.keyHeight;
  const hasOverview = layout.panels.length >= G.overviewFrom;
  const drawing = {
    content, view, width, isNarrow, lines, letterWidths, shades, layout, middles, panelHeight, textOf, keyHeight, hasOverview,
    headerHeight: keyHeight + (hasOverview ? G.overviewPitch * lines.length + 24 : 0),
    header: () => keyOf(drawing) + (hasOverview ? overviewOf(drawing) : ""),
    panel: index => lines.map((_, line) => rowOf(drawing, line, layout.panels[index])).join(""),
  };
  return drawing;
}

function rowOf(drawing, index, { first, stop }) {
  const { lines, layout, middles } = drawing, line = lines[index], y = middles[index];
  const kind = line.isFolded ? "folded" : line.isPlain ? "plain" : "layer";
  const places = range(first, stop).map(slot => {
    const low = Math.min(layout.before[index][slot], layout.end[index][slot]), high = Math.max(layout.before[index][slot], layout.end[index][slot]);
    return [slot, low, high - low];
  });
  const drawn = places.filter(([, , length]) => length > 0);
  let body = tilesOf(drawing, index, drawn, y);
  if (!line.isFolded) {
    body += spacesOf(drawing.textOf(line).labels, drawn, y);
    const text = lettersOf(drawing.textOf(line).labels.slice(first, stop), layout.letters[index].slice(first, stop), drawing.content.rightToLeft);
    body += `<text class="letters" y="${number(y + G.fontSize * 0.36)}">${text}</text>`;
    for (let slot = first; slot < stop; slot++) if (layout.isBroken[index][slot]) {
      const x = (layout.before[index][slot] + layout.end[index][slot]) / 2;
      body += `<text class="broken" x="${number(x)}" y="${number(y + (drawing.isNarrow ? G.tileHeight / 2 + 10 : -G.tileHeight / 2 - 2))}">⟵ ${short(line.drawn[slot], 3)} ⟶</text>`;
    }
  }
  return `<g class="row ${kind}">${headOf(drawing, index, first)}${body}</g>`;
}

/* The number of a slot's character, from 1: slots that the text leaves empty do not count. */
const numberOf = (text, slot) => text.labels.slice(0, slot).filter(label => label).length + 1;

function headOf(drawing, index, first) {
  const line = drawing.lines[index], middle = drawing.middles[index], indent = line.isFolded ? 10 : 0;
  const note = escapeText(line.isPlain && first ? `from ${drawing.textOf(line).noun} ${grouped(numberOf(drawing.textOf(line), first))}` : line.note);
  const name = escapeText(line.name);
  let tip = middle - 6, written;
  if (drawing.isNarrow) {
    const top = middle - (line.isFolded ? G.thinTileHeight : G.tileHeight) / 2 - 5;
    tip = top - 4;
    written = `<text class="name" x="${number(G.margin + indent)}" y="${number(top)}">${name}<tspan class="note" dx="8">${note}</tspan></text>`
      + histogramOf(drawing, line, drawing.width - G.margin - BINS * BIN_WIDTH, top + 1);
  } else {
    written = `<text class="name" x="${number(G.margin + indent)}" y="${number(middle - 2)}">${name}</text>`
      + `<text class="note" x="${number(G.margin)}" y="${number(middle + 11)}">${note}</text>`
      + histogramOf(drawing, line, G.gutter - BINS * BIN_WIDTH - 10, middle + 8);
  }
  return (line.isFolded ? `<path class="arrow" d="M${number(G.margin)} ${number(tip - 3.5)}l6 3.5l-6 3.5z"/>` : "") + written;
}

function histogramOf(drawing, line, left, base) {
  if (line.isPlain) return "";
  const { tokens } = drawing.textOf(line), counts = Array(BINS).fill(0);
  line.drawn.forEach((drawn, slot) => {
    if (tokens[slot] > 0) counts[clip(Math.floor((Math.log2(Math.max(drawn / tokens[slot], 1e-3)) + 2) * BINS / 4), 0, BINS - 1)]++;
  });
  const most = largest(counts);
  const bars = counts.map((count, place) => count
    ? `M${number(left + place * BIN_WIDTH)} ${number(base)}v-${number(Math.max(1, BIN_HEIGHT * count / most))}h${number(BIN_WIDTH - 0.5)}V${number(base)}z` : "").join("");
  return `<path class="axis" d="M${number(left)} ${number(base)}h${number(BINS * BIN_WIDTH)}"/><path class="histogram" d="${bars}"/>`;
}

/* The key. */
function keyOf(drawing) {
  const { content, layout, lines, shades, isNarrow } = drawing;
  const unevenness = lines.map(line => line.isFolded ? 0 : sum(line.ratio.map(ratio => (ratio - 1) * (ratio - 1))));
  const index = unevenness.indexOf(largest(unevenness)), line = lines[index], { labels, tokens, noun, unit } = drawing.textOf(line);
  const first = tokens.findIndex(count => count > 0); // nothing is before it
  const isWhole = at => tokens[at] > 0 && !layout.isBroken[index][at];
  const lengths = line.drawn.map((drawn, at) => at > first && isWhole(at) ? drawn / tokens[at] : -Infinity);
  const room = isNarrow ? drawing.width - 2 * G.margin : G.keyShare * drawing.width;
  const around = slot => range(Math.max(0, slot - 2), Math.min(labels.length, slot + 3));
  const reach = slot => sum(around(slot).map(at => isWhole(at) ? Math.abs(layout.end[index][at] - layout.before[index][at]) : 0));
  const fitting = lengths.map((length, at) => reach(at) <= room ? length : -Infinity);
  const chosen = largest(fitting) > -Infinity ? fitting : lengths;
  const slot = Math.min(labels.length - 1, Math.max(first + 1, chosen.indexOf(largest(chosen))));
  let end = G.margin, bracket = "";
  const places = [], shown = [], middles = [], top = 40;
  const nearest = around(slot);
  for (const near of content.rightToLeft ? nearest.reverse() : nearest) {
    const length = Math.abs(layout.end[index][near] - layout.before[index][near]);
    if (length === 0 || (layout.isBroken[index][near] && near !== slot)) continue;
    places.push([near, end, length]);
    shown.push(labels[near]);
    middles.push(end - G.margin + length / 2);
    if (near === slot) bracket = `<path class="bracket" d="M${number(end + 1)} 25v-4h${number(Math.max(length - 2, 0.3))}v4"/>`;
    end += length;
  }
  const at = makeWay(middles, places.map(([near]) => drawing.letterWidths[index][near]), drawing.width - 2 * G.margin).map(place => place + G.margin);
  if (content.rightToLeft) for (const list of [shown, at]) list.reverse();
  const units = UNITS_IN_KEY[drawing.view.scale] ?? "average steps", howFar = short(line.drawn[slot], 2);
  const steps = howFar === "1" ? units.replace("steps", "step") : units;
  const what = labels[slot].trim() ? `this ${noun}` : "the space", isStretched = drawing.view.scale === "contrast";
  const plain = drawing.isNarrow ? "" : `: ${tokens[slot]} in the plain row`;
  const many = tokens[slot] > 1 ? ` (${tokens[slot]} ${unit}s${plain})` : "";
  const divided = isDivided(drawing), byToken = divided ? ` Its colours are those of its ${content.unit}s.` : "";
  const several = content.texts.some(text => text.tokens.some(count => count > 1));
  const sentences = drawing.width < G.roomy
    ? [divided ? `Width: the step to a ${content.noun}; colour: each ${content.unit}'s.` : `A tile is as wide as the step to its ${content.noun}.`, isStretched ? "×: stretch; ±: spread before it" : several ? `±: standard deviation over ${content.noun}s, per ${content.unit}` : "±: standard deviation of a row's steps"]
    : [`A ${content.noun}'s tile is as wide as the step to it from the one before.${byToken}`, isStretched
      ? "Rows are stretched to the same spread: × is the factor, ± the standard deviation before it."
      : several
      ? `Beside each row, per ${content.unit}: mean step in positions; ± standard deviation and histogram over ${content.noun}s.`
      : "Beside each row: its mean step in positions, ± the standard deviation of its steps, and their histogram."];
  const [left, highest] = isNarrow ? [G.margin, 70] : [end + 16, 36];
  return `<g class="key">${tilesOf(drawing, index, places, top)}${spacesOf(labels, places, top)}${bracket}<text class="note" x="${number(G.margin)}" y="14">${escapeText(`${line.name}: ${howFar} ${steps} to ${what}${many}`)}</text>`
    + `<text class="letters" y="${number(top + G.fontSize * 0.36)}">${lettersOf(shown, at, content.rightToLeft)}</text>`
    + sentences.map((sentence, place) => `<text class="note" x="${number(left)}" y="${number(highest + 15 * place)}">${escapeText(sentence)}</text>`).join("")
    + `${legendOf(drawing, isNarrow ? G.margin : drawing.width - G.margin - SHADES * SWATCH, isNarrow ? 114 : 36)}</g>`;
}

function legendOf({ shades, isNarrow }, left, top) {
  const width = SHADES * SWATCH;
  const note = (anchor, x, y, text) => `<text class="note" text-anchor="${anchor}" x="${number(x)}" y="${number(y)}">${escapeText(text)}</text>`;
  return range(0, SHADES).map(shade => stroke(`${shades.letter}${shade}`, 8, [[left + shade * SWATCH, SWATCH]], top)).join("")
    + (isNarrow ? note("start", left, top - 9, shades.title) : note("end", left + width, top - 9, shades.title))
    + [[left, "start"], [left + width / 2, "middle"], [left + width, "end"]].map(([x, anchor], place) => note(anchor, x, top + 17, shades.ends[place])).join("");
}

/* An overview of a long text, one strip per row. */
function overviewOf(drawing) {
  const left = drawing.isNarrow ? G.margin : G.gutter, numSlots = drawing.shades.of[0].length;
  const numBins = Math.floor((drawing.width - left - G.margin) / STRIP);
  const startOf = place => drawing.content.rightToLeft ? drawing.width - G.margin - (place + 1) * STRIP : left + place * STRIP;
  const edges = range(0, numBins + 1).map(place => Math.floor(place * numSlots / numBins));
  return `<g class="overview">${drawing.lines.map((line, index) => {
    const middle = drawing.keyHeight + G.overviewPitch * (index + 0.5);
    const marks = range(0, SHADES).map(() => []);
    for (let place = 0; place < numBins; place++) {
      const values = drawing.shades.of[index].slice(edges[place], edges[place + 1]);
      if (values.length) marks[Math.floor(sum(values) / values.length + 0.5)].push([startOf(place), STRIP]);
    }
    return marks.map((of, shade) => stroke(`${drawing.shades.letter}${shade}`, 7, of, middle)).join("")
      + (drawing.isNarrow ? "" : `<text class="strip" x="${number(left - 6)}" y="${number(middle + 3)}">${escapeText(line.name)}</text>`);
  }).join("")}</g>`;
}
