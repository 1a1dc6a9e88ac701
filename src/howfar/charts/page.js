"use strict";
const picture = document.getElementById("picture"), readout = document.getElementById("readout");
const PHONE = 500, MARGIN = "300px", MAIN_PADDING = 4;
let page, drawnIn, sheets = [], chosen = null;

const withoutLegends = spec => ({
  ...spec,
  ...(spec.layer && { layer: spec.layer.map(withoutLegends) }),
  ...(spec.encoding?.color && { encoding: { ...spec.encoding, color: { ...spec.encoding.color, legend: null } } }),
});
const text = (tag, value) => Object.assign(document.createElement(tag), { textContent: value });

/* The widest layout that fits, else the narrowest. */
function choosePage() {
  return content.pages.find(candidate => candidate.width <= room()) ?? content.pages.at(-1);
}
const padding = () => document.documentElement.clientWidth < PHONE ? 8 : 16;
const room = () => document.documentElement.clientWidth - 2 * (padding() + MAIN_PADDING);

function draw() {
  page = choosePage();
  drawnIn = theme();
  sheets.forEach(sheet => sheet.view?.finalize());
  const visible = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
    visible.unobserve(entry.target);
    show(sheets[entry.target.dataset.index]);
  }), { rootMargin: MARGIN });
  sheets = page.sheets.map((sheet, index) => {
    const place = document.createElement("div");
    place.dataset.index = index;
    place.style.minHeight = `${sheet.height}px`;
    return { ...sheet, index, place, cells: sheet.datasets.cells.map(cell => cell.cell) };
  });
  picture.replaceChildren(...sheets.map(sheet => sheet.place));
  sheets.forEach(sheet => visible.observe(sheet.place));
}

async function show(sheet) {
  const first = sheet.index === 0, sides = padding();
  const spec = {
    ...(first ? content.spec : withoutLegends(content.spec)),
    width: page.width, height: sheet.height, title: first ? page.title : undefined,
    datasets: { ...content.spec.datasets, ...sheet.datasets },
    config: { ...content.themes[theme()], padding: { left: sides, right: sides, top: first ? 16 : 0, bottom: 0 } },
  };
  sheet.view = (await embed(sheet.place, spec)).view;
  mark(sheet);
  sheet.view.addSignalListener("chosen", (_, value) => choose(value.cell?.[0] ?? null, sheet));
}

/* Chart selections keep what is selected in a dataset of their name. */
const mark = sheet => sheet.view?.data("chosen_store", sheet.cells.includes(chosen)
  ? [{ unit: "", fields: [{ type: "E", field: "cell" }], values: [chosen] }] : []).runAsync();

function choose(cell, from) {
  if (cell === chosen) return;
  if (cell === null && from && !from.cells.includes(chosen)) return;
  chosen = cell;
  sheets.filter(sheet => sheet !== from).forEach(mark);
  describe();
}

function describe() {
  readout.replaceChildren();
  const sheet = sheets.find(candidate => candidate.cells.includes(chosen));
  if (!sheet) return;
  const cell = sheet.datasets.cells.find(record => record.cell === chosen), [steps] = sheet.datasets.steps;
  readout.append(text("b", cell.character), text("span", `bytes ${cell.bytes}`), text("span", `surprisal ${cell.surprisal} nats`));
  steps.cell.forEach((of, i) => of === chosen && readout.append(text("span", `${steps.row[i]}: gap ${steps.gap[i]}`)));
}

picture.addEventListener("keydown", event => {
  const last = Math.max(...sheets.flatMap(sheet => sheet.cells.slice(-1)));
  const steps = { ArrowRight: () => Math.min((chosen ?? -1) + 1, last), ArrowLeft: () => Math.max((chosen ?? 1) - 1, 0), Home: () => 0, End: () => last, Escape: () => null };
  if (!(event.key in steps) || !Number.isFinite(last)) return;
  event.preventDefault();
  choose(steps[event.key]());
  sheets.find(sheet => sheet.cells.includes(chosen))?.place.scrollIntoView({ block: "nearest" });
});

function fillTable(details) {
  const table = document.createElement("table"), body = table.createTBody();
  const names = [...new Set(sheets[0].datasets.steps[0].row)];
  table.createTHead().insertRow().append(...["character", "bytes", "surprisal (nats)", "entropy after (nats)", ...names.map(name => `${name}: gap`)].map(name => text("th", name)));
  for (const sheet of sheets) {
    const { cells, steps: [{ gap }] } = sheet.datasets;
    cells.forEach((cell, i) => body.insertRow().append(text("th", cell.character), ...[cell.bytes, cell.surprisal, cell.entropy, ...names.map((_, row) => gap[row * cells.length + i])].map(value => text("td", value))));
  }
  details.querySelector("div").replaceChildren(table);
}

const title = [content.spec.title?.text ?? "howfar"].flat().join(" ");
document.title = document.getElementById("title").textContent = title;
document.getElementById("description").textContent = content.description;
if (content.pages) {
  redrawing(() => { if (choosePage() !== page || drawnIn !== theme()) draw(); });
  const details = document.querySelector("details");
  details.hidden = document.getElementById("hint").hidden = false;
  details.addEventListener("toggle", () => fillTable(details), { once: true });
} else {
  redrawing(() => embedFitted(picture, content.spec, room() + 2 * padding(), padding()));
}
