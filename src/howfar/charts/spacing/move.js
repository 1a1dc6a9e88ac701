/* Moving gaps of a picture by hand: the reader drags a gap (pointer, touch, Shift and arrow keys), a ghost below the row shows
   it before the change, and a panel beside the picture shows the effect on the model's predictions.

   `mountMoving(root, content, view, options)` returns the handle of `mount`, and:
     handle.update(content, view, before)   draws other numbers; `before` are those without the change, if there is one
     handle.show(panel)                     fills the panel: { isMoved, effect, expected: [{ label, before, after }],
                                            losses: [{ label, change }], where (see `effectInWords`), isWriting, canTakeBack };
                                            tiny probabilities are null, those that are not known yet are undefined
     handle.layer                           the layer that is moved, as text, or "all"
   Options: `edits()` returns the factors of steps by "layer:slot"; `onMove(layer, slot, factor, isDone)` is called when the reader
   moves a gap; `onReset()`, `onLayer(layer)`, `onWrite()` and `onTakeBack()` are called by the buttons. */
const LONGEST_FACTOR = 8, FACTOR_STEP = 0.05, KEY_STEP = 0.25, GHOST_HEIGHT = 4, LEAST_DRAG = 4, LEAST_MOVED = 1, MOST_LOSSES = 26;
const layerOf = row => / ?layer (\d+)$/.exec(row.name)?.[1] ?? "all";
const layersIn = content => [...new Set(["all", ...content.rows.filter(row => !row.isPlain).map(layerOf)])];
const snapped = factor => Number(clip(Math.round(factor / FACTOR_STEP) * FACTOR_STEP, 0, LONGEST_FACTOR).toFixed(2));
const chance = share => share === undefined ? "" : share === null || share < 0.0005 ? "< 0.1%" : `${Number((100 * share).toPrecision(share < 0.0995 ? 1 : 2))}%`;
const signed = nats => `${nats < 0 ? "−" : "+"}${Math.abs(nats).toPrecision(2)}`;
const nameOfSlot = label => !label.trim() ? "the space" : `“${label}”`;

function mountMoving(root, content, view, options) {
  root.classList.add("moving");
  const place = element("div", { className: "look" });
  const beside = panelBeside({
    setLayer: layer => { moved.layer = layer; handle.mark(); refresh(); options.onLayer?.(layer); },
    setFactor: (factor, isDone) => move(moved.layer, handle.selected, factor, isDone),
    reset: () => options.onReset(), write: options.onWrite && (() => options.onWrite()), takeBack: () => options.onTakeBack(),
  });
  root.replaceChildren(place, beside.root);
  const moved = { layer: options.layer ?? firstLayer(), before: null, drag: null, hasDragged: false };
  const handle = mount(place, content, view, {
    ...options,
    onSelect: slot => { refresh(); options.onSelect?.(slot); },
    extra: (drawing, index) => moved.before ? ghostsOf(drawing, moved.before, index) : "",
    isMoved: line => !line.isPlain && !line.isFolded && (moved.layer === "all" || layerOf(line) === moved.layer),
  });
  const picture = place.querySelector(":scope > .picture");
  beside.root.append(place.querySelector(":scope > .readout")); // so that it covers no row

  function firstLayer() {
    const row = content.rows.find(row => !row.isPlain);
    return row ? layerOf(row) : "all";
  }
  const isOne = () => content.texts.length === 1;
  const factorAt = (layer, slot) => options.edits()[`${layer}:${slot}`] ?? 1;

  /* The step changes at once; what the model makes of it comes with its answer. */
  function move(layer, slot, factor, isDone) {
    if (slot === null || !isOne()) return;
    const wanted = snapped(factor), before = moved.before ?? content;
    moved.layer = layer;
    options.onMove(layer, slot, wanted, isDone); // from now on `edits` has the new factor
    update(content, handle.view, before);
  }
  function update(newContent, newView = handle.view, before = null) {
    content = newContent;
    moved.before = before;
    const scale = before ? scaleOf(before, newView, handle.drawing.width) : null;
    handle.update(before ? withFactors(content, before, options.edits()) : content, newView, scale);
    refresh();
  }
  function refresh() {
    const slot = handle.selected;
    beside.advise(isOne() ? "Click a character, or drag its tile sideways." : "To move a step, compare with nothing.");
    beside.select(slot === null || !isOne() ? null : content.texts[0].labels[slot], layersIn(content), moved.layer, factorAt(moved.layer, slot));
  }

  picture.addEventListener("pointerdown", event => {
    const found = handle.slotAt(event);
    if (!found || found.slot === null || event.button !== 0 || !isOne()) return;
    const line = handle.drawing.lines[found.line];
    if (line.isPlain || line.isFolded) return;
    const layer = moved.layer === "all" ? "all" : layerOf(line);
    const factor = factorAt(layer, found.slot), towards = content.rightToLeft ? -1 : 1;
    const perStep = Math.max(1, Math.abs(found.end - found.before)) / Math.max(factor, FACTOR_STEP);
    moved.drag = { x: event.clientX, perStep: towards * perStep, slot: found.slot, layer, factor, pointer: event.pointerId };
    moved.hasDragged = false;
  });
  const follow = event => {
    const { drag } = moved;
    if (!drag || event.pointerId !== drag.pointer || (!moved.hasDragged && Math.abs(event.clientX - drag.x) < LEAST_DRAG)) return;
    if (!moved.hasDragged) handle.select(drag.slot, true);
    moved.hasDragged = true;
    drag.last = drag.factor + (event.clientX - drag.x) / drag.perStep;
    move(drag.layer, drag.slot, drag.last, false);
  };
  const release = () => {
    const { drag } = moved;
    moved.drag = null;
    if (drag && moved.hasDragged) move(drag.layer, drag.slot, drag.last, true);
  };
  addEventListener("pointermove", follow);
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  picture.addEventListener("dragstart", event => event.preventDefault());
  picture.addEventListener("click", event => { // a drag ends with a click, which must not select
    if (moved.hasDragged) event.stopImmediatePropagation();
    moved.hasDragged = false;
  }, true);
  picture.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !isOne()) return;
    const choices = layersIn(content);
    const [forth, back] = arrowsOf(content);
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key], wider = event.shiftKey && { [forth]: KEY_STEP, [back]: -KEY_STEP }[event.key];
    if (by && !event.shiftKey) {
      moved.layer = choices[clip(choices.indexOf(moved.layer) + by, 0, choices.length - 1)];
      handle.mark();
      refresh();
      options.onLayer?.(moved.layer);
    } else if (wider && handle.selected !== null) {
      move(moved.layer, handle.selected, factorAt(moved.layer, handle.selected) + wider, true);
    } else return;
    event.preventDefault();
  });
  refresh();
  return {
    __proto__: handle, // its `drawing`, `selected` and `view` are read anew each time
    get layer() { return moved.layer; },
    set layer(layer) { moved.layer = layer ?? firstLayer(); handle.mark(); refresh(); },
    select(slot) { handle.select(slot); refresh(); },
    update,
    show: beside.show,
    destroy() {
      removeEventListener("pointermove", follow);
      removeEventListener("pointerup", release);
      removeEventListener("pointercancel", release);
      handle.destroy();
    },
  };
}

/* Content in which the steps have these factors, until the model answers: those that it was not given are multiplied here. */
function withFactors(content, before, edits) {
  const { moves, plain } = content, isOf = (layer, row) => layer === "all" || layerOf(row) === layer;
  const changed = [...new Set([...Object.keys(moves), ...Object.keys(edits)])].filter(key => (moves[key] ?? 1) !== (edits[key] ?? 1)).map(key => key.split(":"));
  if (!changed.length) return content;
  const rows = content.rows.map((row, index) => {
    if (row.isPlain || (plain !== null && isOf(plain, row))) return row;
    const own = before.rows[index], gaps = row.gaps.slice(), parts = { ...row.parts };
    const factorOf = (factors, slot) => [...new Set(["all", layerOf(row)])].reduce((product, layer) => product * (factors[`${layer}:${slot}`] ?? 1), 1);
    for (const slot of new Set(changed.filter(([layer]) => isOf(layer, row)).map(([, slot]) => Number(slot)))) {
      if (!(slot < gaps.length)) continue;
      const known = factorOf(moves, slot), base = known ? row : own, by = factorOf(edits, slot) / (known || 1);
      gaps[slot] = base.gaps[slot] * by;
      if (base.parts[slot]) parts[slot] = base.parts[slot].map(part => part * by);
    }
    return { ...row, gaps, parts };
  });
  const drawn = Object.entries(edits).filter(([key, factor]) => {
    const [layer, slot] = key.split(":");
    return factor !== 1 && Number(slot) < content.texts[0].labels.length && rows.some(row => !row.isPlain && isOf(layer, row));
  });
  return { ...content, rows, moves: Object.fromEntries(drawn) };
}

/* Ghosts: below each row that has visibly changed, its tiles before the change, thin and pale. */
function ghostsOf(drawing, before, index) {
  const { first, stop } = drawing.layout.panels[index], { scale, most } = drawing.layout, towards = drawing.content.rightToLeft ? -1 : 1;
  return drawing.lines.map((line, place) => {
    const row = line.rows[0], was = before.rows[row], is = drawing.content.rows[row];
    if (line.isFolded || line.isPlain || was.gaps.every((gap, slot) => gap === is.gaps[slot])) return "";
    let largest = 0;
    const old = lineOf(before, row, drawing.view.scale).drawn, marks = [];
    let at = drawing.layout.before[place][first];
    for (let slot = first; slot < stop; slot++) {
      const end = at + towards * clip(old[slot] * scale, -most, most);
      if (end !== at) marks.push([Math.min(at, end) + G.tileGap / 2, Math.max(Math.abs(end - at) - G.tileGap, 0.3)]);
      largest = Math.max(largest, Math.abs(drawing.layout.end[place][slot] - end));
      at = end;
    }
    return largest < LEAST_MOVED ? "" : stroke("ghost", GHOST_HEIGHT, marks, drawing.middles[place] + G.tileHeight / 2 + GHOST_HEIGHT);
  }).join("");
}

/* The panel: what is moved, by how much, and the effect on the model's predictions. */
function panelBeside({ setLayer, setFactor, reset, write, takeBack }) {
  const chosen = element("bdi"), effect = element("p", { className: "effect" });
  const layer = element("select", { className: "layer", onchange: () => setLayer(layer.value) });
  const factor = element("input", { type: "range", className: "factor", min: 0, max: LONGEST_FACTOR, step: FACTOR_STEP, value: 1 });
  factor.setAttribute("aria-label", "Factor of the step");
  const said = element("output", { className: "said-factor" });
  const undo = element("button", { type: "button", className: "reset", textContent: "Undo", onclick: reset });
  const writes = element("button", { type: "button", className: "write", onclick: write });
  const takes = element("button", { type: "button", className: "take-back", textContent: "Undo writing", onclick: takeBack });
  const expected = element("tbody"), losses = element("div", { className: "losses" });
  effect.setAttribute("role", "status");
  factor.addEventListener("input", () => setFactor(Number(factor.value), false));
  factor.addEventListener("change", () => setFactor(Number(factor.value), true));
  const hint = element("p", { className: "how", textContent: "Drag a tile sideways, or press Shift and ← or → (↑ and ↓ choose the row)." });
  const headings = element("tr", {}, ...["next", "before", "after"].map(text => element("th", { textContent: text })));
  const prediction = element("div", { hidden: true }, element("h3", { textContent: "What the model expects after it" }),
    element("table", { className: "expected" }, element("thead", {}, headings), expected));
  const body = element("div", {},
    element("h2", {}, "What if ", chosen, " stood closer or farther?"),
    element("div", { className: "edit" }, element("label", {}, "In ", layer), element("label", { className: "slide" }, "× ", said, factor), undo), hint, effect,
    prediction, losses, ...(write ? [element("p", { className: "writing" }, writes, " ", takes)] : []));
  const advice = element("p", { className: "how" }), root = element("section", { className: "beside" }, advice, body);
  root.setAttribute("aria-label", "What if");
  root.tabIndex = 0;
  function select(label, layers, chosenLayer, chosenFactor) {
    body.hidden = label === null;
    advice.hidden = label !== null;
    if (label === null) return;
    chosen.textContent = nameOfSlot(label);
    if (layer.dataset.layers !== layers.join()) {
      layer.replaceChildren(...layers.map(value => element("option", { value, textContent: value === "all" ? "all layers" : `layer ${value}` })));
      layer.dataset.layers = layers.join();
    }
    layer.value = chosenLayer;
    if (document.activeElement !== factor || Math.abs(Number(factor.value) - chosenFactor) > FACTOR_STEP) factor.value = chosenFactor;
    said.textContent = `${chosenFactor}`;
  }
  function show(panel) {
    effect.textContent = panel.effect;
    undo.disabled = !panel.isMoved;
    expected.replaceChildren(...panel.expected.map(({ label, before, after }) => element("tr", {},
      element("td", {}, element("bdi", { textContent: label })), element("td", { textContent: chance(before) }), element("td", { textContent: panel.isMoved ? chance(after) : "" }))));
    prediction.hidden = !panel.expected.length;
    losses.innerHTML = panel.isMoved ? lossesOf(panel.losses, panel.where) : "";
    writes.textContent = panel.isWriting ? "Stop" : "Continue writing from here";
    takes.hidden = !panel.canTakeBack;
  }
  return { root, select, show, advise: words => { advice.textContent = words; } };
}

/* A bar for each of the characters after the first changed step: up if it is harder to predict than before, down if it is easier. Whole words need wider bars, so fewer are drawn. */
const LONGEST_LABEL = 8;
function lossesOf(losses, where) {
  const shown = losses.slice(0, MOST_LOSSES).map(({ label, change }) => ({ label: cut(Array.from(shownSpace(label))), change }));
  const widest = Math.max(0, ...shown.map(({ label }) => label.length)), pitch = widest > 2 ? 7 * widest + 4 : 11;
  const drawn = shown.slice(0, Math.floor(MOST_LOSSES * 11 / pitch));
  if (!drawn.length) return "";
  const most = Math.max(...drawn.map(({ change }) => Math.abs(change)));
  if (most < 0.0005) return "";
  const half = 26, top = 16, left = 42, middle = top + half;
  const bars = drawn.map(({ label, change }, place) => {
    const x = left + place * pitch, height = Math.abs(change) / most * half;
    return `<rect class="${change > 0 ? "harder" : "easier"}" x="${x}" y="${number(change > 0 ? middle - height : middle)}" width="${pitch - 2}" height="${number(height)}"/>`
      + `<text class="tick" x="${x + pitch / 2 - 1}" y="${middle + half + 13}">${escapeText(label)}</text>`;
  }).join("");
  const axis = [[most, top], [0, middle], [-most, middle + half]].map(([value, y]) => `<text class="note" text-anchor="end" x="${left - 4}" y="${number(y + 4)}">${value ? signed(value) : "0"}</text>`).join("");
  const total = left + drawn.length * pitch;
  const heading = `Change of surprisal of the ${where.noun}s ${afterFirst(where)}`;
  return `<h3>${heading}, in nats (up: harder)</h3><svg width="${total}" viewBox="0 0 ${total} ${middle + half + 18}" role="img" aria-label="${heading}">`
    + `<path class="axis" d="M${left} ${middle}H${total}"/>${axis}${bars}</svg>`;
}

const cut = (letters) => (letters.length > LONGEST_LABEL ? [...letters.slice(0, LONGEST_LABEL - 1), "…"] : letters).join("");

/* Where the characters stand whose change is told: after the first changed step, which is named unless it is the selected one. */
const afterFirst = ({ noun, first, selected }) =>
  first === selected ? "that follow" : `after the first changed step (${noun} ${(first + 1).toLocaleString("en-US")})`;

/* The effect of changed steps on the text that follows, in words. `where`: { noun, first, selected (slots), isPart }; `isPart` if
   some of the characters after the first changed step have no changed step before them in the window in which the model reads them. */
const LEAST_NATS = 0.005;
function effectInWords(nats, numFollowing, where) {
  const { noun, isPart } = where, isHere = where.first === where.selected, isOne = numFollowing === 1, size = Math.abs(nats);
  if (!numFollowing) return `No text follows${isHere ? "" : ` ${afterFirst(where).replace("after ", "")}`}, so only the next prediction can change.`;
  const many = `${isOne ? "" : `${numFollowing.toLocaleString("en-US")} `}${noun}${isOne ? "" : "s"}`;
  const which = isPart ? `${many} that ${isOne ? "has" : "have"} a changed step before ${isOne ? "it" : "them"} in the model's window`
    : isHere ? `next ${many}` : `${many} ${afterFirst(where)}`;
  const change = size < LEAST_NATS ? `neither harder nor easier to predict, within ${LEAST_NATS} nats in total`
    : `${nats < 0 ? "easier" : "harder"} to predict, by ${counted(`${Number(size.toPrecision(2))}`, "nat")} in total`;
  return `The ${which} ${isOne ? "becomes" : "become"} ${change}.`;
}
