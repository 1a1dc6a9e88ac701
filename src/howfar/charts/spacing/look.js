/* An interactive picture of spacing: it fits its container, responds to pointer and keyboard, and changes scale and colours.

   `mount(root, content, view, options)` draws into `root`, a `.howfar` element, and returns a handle:
     handle.update(content, view, scale)   draws other numbers, at `scale` pixels per step; keeps the selection
     handle.select(slot)            selects a slot; null: none
     handle.slotAt(event)           { line, slot, before, end } under a pointer, in pixels of its panel, or null
     handle.drawing                 the current lines, layout and shades
     handle.destroy()
   Options: `onSelect(slot)` and `onView(view)` are called when the reader makes a choice;
   `extra(drawing, index)` draws more into a panel; `isMoved(line)` tells which rows are moved by hand. */
const CHOICES = {
  scale: [["layer-mean", "each row over its average"], ["raw", "positions"], ["shared", "all rows over one average"], ["contrast", "contrast: every row stretched to the same spread"]],
  colour: [["gap", "step"], ["rank", "rank in the row"], ["surprisal", "surprisal"], ["entropy", "entropy after it"], ["kind", "step, within its kind"], ["difference", "difference"]],
};
/* A row whose mean step is not positive has no average step to be divided by. */
const scalesOf = content => CHOICES.scale.map(([scale]) => scale).filter(scale => scale === "raw"
  || (scale === "shared" ? content.sharedMean > 0 : content.rows.every(row => row.isPlain || row.mean > 0)));
/* The keys that move along the text and back. */
const arrowsOf = content => content.rightToLeft ? ["ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft"];
/* The slot in which a text has what is selected: of one text read by two models, the token in which a character lies. */
const slotIn = ({ isOneText }, { tokens }, slot) => isOneText ? tokens.findIndex((count, at) => at >= slot && count > 0) : slot;
const hasDifference = content => content.rows.some(row => row.difference);
const SVG = "http://www.w3.org/2000/svg", AHEAD = "600px";
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const digits = value => Number(value.toPrecision(4)).toString();
const shownSpace = label => label.replaceAll(" ", "␣");
const counted = (words, noun) => `${words} ${noun}${words === "1" ? "" : "s"}`;

function mount(root, content, view, { onSelect = () => {}, onView = () => {}, extra = () => "", isMoved = () => false } = {}) {
  root.dataset.mounted = "";
  const part = name => root.querySelector(`:scope > .${name}`) ?? root.appendChild(element("div", { className: name }));
  const controls = part("controls"), picture = part("picture"), readout = part("readout"), table = root.querySelector(":scope > details");
  let drawing = null, selected = null, pointed = null, revision = 0, scale = null;
  picture.tabIndex = 0;
  picture.setAttribute("role", "group");
  readout.setAttribute("role", "status");
  readout.setAttribute("aria-live", "polite");

  const seen = new IntersectionObserver(entries => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) fill(target);
  }, { rootMargin: AHEAD });

  let width = picture.clientWidth; // kept, because reading it after a change makes the browser lay out the page at once
  function redraw() {
    drawing = draw(content, view, Math.max(320, Math.floor(width) || 1100), scale ?? undefined);
    const { layout, headerHeight, panelHeight } = drawing;
    seen.disconnect();
    picture.replaceChildren(sheet("header", headerHeight, drawing.header()), ...layout.panels.map((_, index) => {
      const panel = sheet("panel", panelHeight, "");
      panel.dataset.index = index;
      return panel;
    }));
    picture.setAttribute("aria-label", `${content.description} Scale ${view.scale}: ${SCALES[view.scale]}.`);
    for (const panel of panels()) seen.observe(panel);
    panels().slice(0, 2).forEach(fill);
    picture.dataset.revision = ++revision;
  }

  const panels = () => [...picture.querySelectorAll(":scope > .panel")];
  function sheet(name, height, inside) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", name);
    svg.setAttribute("width", drawing.width);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-hidden", "true");
    svg.innerHTML = inside;
    return svg;
  }
  function fill(panel) {
    seen.unobserve(panel);
    if (panel.childNodes.length) return;
    panel.innerHTML = `${drawing.panel(+panel.dataset.index)}${extra(drawing, +panel.dataset.index)}<g class="marks"></g>`;
    mark([panel]);
  }

  /* A band from row to row through one character, and a frame around each of its tiles. */
  function mark(some = panels()) {
    const slots = [...new Set([selected, pointed])].filter(slot => slot !== null).map(slot => drawing.lines.map(line => slotIn(content, drawing.textOf(line), slot)));
    for (const panel of some) {
      const marks = panel.querySelector(".marks"), { first, stop } = drawing.layout.panels[panel.dataset.index];
      if (marks) marks.innerHTML = slots.map(ofLines => markOf(ofLines, slot => slot >= first && slot < stop)).join("");
    }
  }
  function markOf(slots, isHere) {
    const { lines, layout: { before, end }, middles } = drawing, half = index => (lines[index].isFolded ? G.thinTileHeight : G.tileHeight) / 2;
    const edges = index => [before[index][slots[index]], end[index][slots[index]]];
    const there = lines.map((_, index) => index).filter(index => isHere(slots[index]) && edges(index)[0] !== edges(index)[1]);
    const bands = there.slice(1).map((below, at) => {
      const above = there[at], [from, to] = [middles[above] + half(above), middles[below] - half(below)];
      const [[begin, finish], [beginBelow, finishBelow]] = [edges(above), edges(below)];
      return `M${number(begin)} ${number(from)}H${number(finish)}L${number(finishBelow)} ${number(to)}H${number(beginBelow)}z`;
    });
    const frames = there.map(index => {
      const left = Math.min(...edges(index)), width = Math.abs(edges(index)[1] - edges(index)[0]);
      return `<rect${isMoved(lines[index]) ? ' class="moved"' : ""} x="${number(left)}" y="${number(middles[index] - half(index))}" width="${number(width)}" height="${number(2 * half(index))}"/>`;
    });
    return there.length ? `<path class="band" d="${bands.join("")}"/>${frames.join("")}` : "";
  }

  function slotAt(event) {
    const panel = event.target.closest?.(".panel");
    if (!panel || !picture.contains(panel)) return null;
    const box = panel.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const { first, stop } = drawing.layout.panels[panel.dataset.index], { before, end } = drawing.layout;
    const line = drawing.middles.reduce((best, middle, index) => Math.abs(middle - y) < Math.abs(drawing.middles[best] - y) ? index : best, 0);
    if (Math.abs(drawing.middles[line] - y) > G.rowPitch / 2) return null;
    const slot = range(first, stop).find(at => x >= Math.min(before[line][at], end[line][at]) && x < Math.max(before[line][at], end[line][at]));
    return slot === undefined ? { line, slot: null } : { line, slot, before: before[line][slot], end: end[line][slot] };
  }

  const within = slot => slot !== null && slot >= 0 && slot < content.texts[0].labels.length ? slot : null;
  function select(slot, isReaders = false) {
    selected = within(slot);
    mark();
    say();
    if (isReaders) onSelect(selected);
  }

  /* The numbers of the character under the pointer, or else of the selected one. */
  function say() {
    const chosen = pointed ?? selected;
    readout.replaceChildren();
    if (chosen === null) return;
    content.texts.forEach((text, index) => {
      const slot = slotIn(content, text, chosen), label = text.labels[slot] ?? "", codes = text.codes[slot] ?? Array.from(label, one => `U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`).join(" ");
      if (label) readout.append(
        element("b", {}, element("bdi", { textContent: shownSpace(label) })),
        element("span", { textContent: `${text.noun} ${grouped(numberOf(text, slot))}, ${codes}${text.tokens[slot] > 1 ? `, ${text.tokens[slot]} ${text.unit}s` : ""}` }),
        element("span", { textContent: `surprisal ${counted(digits(text.surprisal[slot]), "nat")}, entropy after it ${digits(text.entropy[slot])}` }),
      );
      for (const row of content.rows) if (label && row.text === index && !row.isPlain) {
        const ratio = ratioOf(content, row)[slot], listed = row.parts[slot]?.map(digits).join(" + ");
        const parts = listed ? ` = ${listed}${row.parts[slot].length < text.tokens[slot] ? " + …" : ""}` : "";
        readout.append(element("span", { className: "row", textContent: `${row.name}: ${counted(digits(row.gaps[slot]), "position")}${parts}, ${digits(ratio)} of an average step` }));
      }
    });
  }

  function fillTable(details) {
    const { texts } = content, rows = content.rows.filter(row => !row.isPlain);
    const line = (tag, values) => element("tr", {}, ...values.map((value, index) => element(index ? tag : "th", { textContent: value })));
    const inText = (text, slot, values) => text.tokens[slot] > 0 ? values : values.map(() => ""); // a slot may be empty in one of two texts
    const body = texts[0].labels.map((_, slot) => line("td", [
      ...texts.flatMap(text => inText(text, slot, [shownSpace(text.labels[slot]), text.surprisal[slot], text.entropy[slot]])),
      ...rows.flatMap(row => inText(texts[row.text], slot, [row.gaps[slot]])),
    ]));
    const names = texts.flatMap(({ noun }, index) => [`${noun}${texts.length > 1 ? ` of ${"AB"[index]}` : ""}`, "surprisal, nats", "entropy after, nats"]);
    details.querySelector(".scroll").replaceChildren(element("table", {},
      element("thead", {}, line("th", [...names, ...rows.map(row => `${row.name}, positions`)])), element("tbody", {}, ...body)));
  }

  function fillControls() {
    if (controls.contains(document.activeElement)) return; // the reader has just set them
    const select = (name, choices) => {
      const list = element("select", { onchange: () => set({ [name]: list.value }) }, ...choices.map(([value, text]) => element("option", { value, textContent: text, selected: view[name] === value })));
      return element("label", {}, name === "scale" ? "Scale " : "Colour by ", list);
    };
    const all = element("input", { type: "checkbox", checked: view.rows === "all", onchange: () => set({ rows: all.checked ? "all" : "auto" }) });
    controls.replaceChildren(
      select("scale", CHOICES.scale.filter(([name]) => scalesOf(content).includes(name))),
      select("colour", CHOICES.colour.filter(([name]) => name !== "difference" || hasDifference(content))), element("label", {}, all, " all rows"));
  }
  function set(changes) {
    view = { ...view, ...changes };
    onView(view);
    fillControls();
    redraw();
  }

  picture.addEventListener("pointermove", event => {
    const slot = event.pointerType === "touch" ? null : slotAt(event)?.slot ?? null;
    if (slot === pointed) return;
    pointed = slot;
    mark();
    say();
  });
  picture.addEventListener("pointerleave", () => { pointed = null; mark(); say(); });
  picture.addEventListener("click", event => {
    const overview = event.target.closest?.(".overview");
    if (overview) return jump(event, overview);
    const found = slotAt(event);
    if (!found || String(getSelection())) return;
    if (drawing.lines[found.line].isFolded) set({ rows: "all" });
    else if (found.slot !== null) select(found.slot, true);
  });
  function jump(event, overview) {
    const left = drawing.isNarrow ? G.margin : G.gutter, x = event.clientX - overview.ownerSVGElement.getBoundingClientRect().left;
    const share = (x - left) / (drawing.width - left - G.margin);
    const slot = Math.floor((content.rightToLeft ? 1 - share : share) * content.texts[0].labels.length);
    panels()[drawing.layout.panels.findIndex(({ stop }) => slot < stop)]?.scrollIntoView({ block: "start" });
  }
  picture.addEventListener("keydown", event => {
    const last = content.texts[0].labels.length - 1;
    const [forth, back] = arrowsOf(content);
    const next = { [forth]: () => Math.min((selected ?? -1) + 1, last), [back]: () => Math.max((selected ?? 1) - 1, 0), Home: () => 0, End: () => last, Escape: () => null }[event.key];
    if (!next || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    event.preventDefault();
    select(next(), true);
    panels()[drawing.layout.panels.findIndex(({ first, stop }) => selected >= first && selected < stop)]?.scrollIntoView({ block: "nearest" });
  });
  const drawAll = () => panels().forEach(fill);
  addEventListener("beforeprint", drawAll);
  table?.addEventListener("toggle", () => fillTable(table), { once: true });
  const resized = new ResizeObserver(() => {
    if (Math.abs(picture.clientWidth - width) < 2) return;
    width = picture.clientWidth;
    redraw();
  });
  resized.observe(picture);
  fillControls();
  redraw();
  say();
  return {
    get drawing() { return drawing; },
    select, slotAt, mark: () => mark(),
    get selected() { return selected; },
    get view() { return view; },
    update(newContent, newView = view, newScale = null) {
      [content, view, scale] = [newContent, newView, newScale];
      [selected, pointed] = [within(selected), within(pointed)]; // the pointer may rest where a longer text was
      fillControls();
      redraw();
      say();
    },
    destroy() {
      resized.disconnect();
      seen.disconnect();
      removeEventListener("beforeprint", drawAll);
    },
  };
}

/* Mount each picture of a saved page or notebook that is not mounted yet. */
function mountAll() {
  for (const root of document.querySelectorAll(".howfar:not([data-mounted])")) {
    const data = root.querySelector(":scope > script[type='application/json']");
    if (!data) continue;
    const { content, view } = JSON.parse(data.textContent);
    mount(root, content, view);
  }
}
