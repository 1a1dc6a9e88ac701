// What stands below the picture: files to save, and a panel of each shown text, put into words from the server's numbers.
"use strict";

const TABS = { "what-if": "What if", attention: "Attention", numbers: "Numbers", context: "Context" };
const PICTURE_FILES = ["html", "svg", "png", "pdf"];
const asking = new Latest((question) => answerTo("panel", question));
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let page = 0, sort = null; // of the table of numbers
let keyOfPanels = "";

const startPanels = () => ({ panel: { name: "what-if", layer: "all", part: 1, only: false } });

function panelsFromLink({ panel }, oneOf, layers) {
  const fresh = startPanels().panel, given = panel !== null && typeof panel === "object" ? panel : {};
  return {
    panel: {
      name: oneOf(given.name, Object.keys(TABS), "panel", fresh.name),
      layer: oneOf(given.layer, layers, "panel's layer", fresh.layer),
      part: oneOf(given.part, Array.from({ length: 16 }, (_, index) => index + 1), "token", fresh.part),
      only: oneOf(given.only, [false, true], "choice of numbers", fresh.only),
    },
  };
}

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const token = (textContent) => make("bdi", { className: "token", textContent });
const percentOf = (share) => `${Math.round(100 * share)}%`;
const questionOfPanel = () => ({ ...question(), ...state.panel, panel: state.panel.name, page, sort, theme: prefersDark.matches ? "dark" : "light" });

// The panels follow what is chosen in the picture, unless they show it already.
function followPicture() {
  if (JSON.stringify(questionOfPanel()) !== keyOfPanels) showPanels();
}

async function showPanels() {
  keyOfPanels = JSON.stringify(questionOfPanel());
  showTabs();
  showSaves();
  try {
    const answer = await asking.ask("panel", questionOfPanel());
    if (!answer) return;
    byId("documents").replaceChildren(...answer.panels.map(showDocument));
    showSettings(answer.panels);
    byId("panels").dataset.panel = state.panel.name;
  } catch (error) {
    keyOfPanels = "";
    byId("documents").replaceChildren(make("p", { className: "refused", textContent: sentenceOf(error) }));
  }
}

function set(changes) {
  Object.assign(state.panel, changes);
  if (!("page" in changes)) page = 0;
  showPanels();
}

function showTabs() {
  if (byId("tabs").childElementCount) return void Array.from(byId("tabs").children, markTab);
  byId("tabs").replaceChildren(...Object.entries(TABS).map(([name, textContent]) => {
    const tab = make("button", { type: "button", textContent, onclick: () => set({ name }) });
    tab.dataset.name = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "panel");
    markTab(tab);
    return tab;
  }));
  byId("tabs").addEventListener("keydown", ({ key, target }) => {
    const next = { ArrowRight: target.nextElementSibling, ArrowLeft: target.previousElementSibling }[key];
    if (next) { next.focus(); next.click(); }
  });
}

function markTab(tab) {
  const isChosen = tab.dataset.name === state.panel.name;
  tab.setAttribute("aria-selected", isChosen);
  tab.tabIndex = isChosen ? 0 : -1;
  if (isChosen) byId("panel").setAttribute("aria-label", tab.textContent);
}

const checkbox = (text, checked, onChange) => make("label", {},
  make("input", { type: "checkbox", checked, onchange: ({ target }) => onChange(target.checked) }), ` ${text}`);

function showSettings(documents) {
  if (byId("settings").contains(document.activeElement) && byId("settings").dataset.of === state.panel.name) return;
  byId("settings").dataset.of = state.panel.name;
  const models = new Set([state.model, ...(modelNamed(state.compare) ? [state.compare] : [])]);
  const layers = [...new Set([...models].flatMap((name) => modelNamed(name).layers))].sort((one, other) => one - other);
  const layer = make("select", { onchange: () => set({ layer: layer.value }) }, ...["all", ...layers.map(String)].map((value) =>
    make("option", { value, textContent: value === "all" ? "all layers" : `layer ${value}`, selected: value === state.panel.layer })));
  const most = Math.max(1, ...documents.map(({ said }) => said?.numParts ?? 1));
  const part = make("input", { type: "number", min: 1, max: most, value: Math.min(state.panel.part, most), onchange: () => set({ part: Number(part.value) || 1 }) });
  const inLayer = handle.layer === "all" ? "all layers" : `layer ${handle.layer}`;
  byId("settings").replaceChildren(...{
    "what-if": state.compare ? [] : [checkbox(state.plain === null ? `Plain +1 instead, in ${inLayer}` : "Plain +1 instead", state.plain !== null,
      (isPlain) => { state.plain = isPlain ? handle.layer : null; refresh(); })],
    attention: [make("label", {}, "Layer ", layer)],
    numbers: [checkbox("Only the selected character", state.panel.only, (only) => set({ only }))],
    context: most > 1 ? [make("label", {}, "Token within the character ", part)] : [],
  }[state.panel.name]);
}

// The words of each panel: a sentence, and the headings of its charts.
const WORDS = {
  "what-if"(said) {
    const headings = { predictions: ["What the model expects after ", token(said.label)] };
    if (!said.isMoved) return { sentence: ["Nothing has changed yet: drag a tile of ", token(said.label), " in the picture, or the slider beside it."], headings };
    headings.losses = [`${said.first ? `Which of ${said.first}` : "Which"} become harder (up) or easier (down)`];
    headings.gaps = ["Other steps that changed"];
    const effect = howfarSpacing.effectInWords(said.nats, said.numFollowing, said.noun, said.hasMore);
    const [before, after] = said.likeliest.map(token);
    return { sentence: [`${effect} Likeliest next: `, before, " before, ", after, ` after.${said.hasOtherGaps ? "" : " No other step changed."}`], headings };
  },
  attention({ label, layer, unit, own, mark }) {
    const of = layer === null ? "all layers, mean over heads" : `layer ${layer}, head by head`;
    const before = mark === null ? "" : ` and ${percentOf(mark)} goes to the mark before the text`;
    return {
      sentence: [`Attention here (${of}): ${percentOf(own)} stays on the selected ${unit} itself${before}.`],
      headings: { attention: ["What ", token(label), ` attends to: ${of}`], "attention-by-distance": ["Weight by distance, in plain and in learned positions"] },
    };
  },
  numbers: () => ({ sentence: ["Every number behind the picture: increments and positions as the model uses them, not divided by the row's mean. Click a column's heading to sort."] }),
  context({ label, unit, numOthers, isAll }) {
    const others = isAll ? `every ${unit}` : `the ${numOthers.toLocaleString("en-US")} likeliest ${unit}s`;
    return {
      sentence: [`The step that the model would take to ${others} here, after the same text. The text has `, token(label), "."],
      headings: { context: ["The step to ", token(label), " among the steps to others"] },
    };
  },
};

function showDocument({ name, error, said, charts, table, saved }, number) {
  if (error) return make("p", { className: "refused" }, make("b", { textContent: `${name}. ` }), sentenceOf({ message: error }));
  const { sentence, headings } = WORDS[state.panel.name]?.(said) ?? {};
  if (!sentence || (charts.length && !headings[charts[0].name])) return ""; // another panel was chosen meanwhile
  return make("div", {},
    make("p", { className: "said" }, make("b", { textContent: `${name}. ` }), ...sentence),
    ...charts.map((chart) => showChart(chart, headings[chart.name], name, number)),
    ...(saved.length ? [saves("numbers", saved, name, number)] : []),
    ...(table ? [showTable(table, said)] : []));
}

// A chart in a tree of its own, where its identifiers meet no other's. What a mark says to a screen reader is its tooltip too.
function showChart({ name, description, svg }, heading, of, number) {
  const place = make("div", { className: "chart", tabIndex: 0 }), root = place.attachShadow({ mode: "open" });
  root.innerHTML = svg;
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", description);
  for (const mark of root.querySelectorAll("[aria-label]")) {
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = mark.getAttribute("aria-label");
    mark.prepend(title);
  }
  return make("figure", {}, make("h3", {}, ...heading, " ", saves(name, PICTURE_FILES, of, number)), place);
}

function showTable([columns, ...rows], { numRows, page: shownPage = 0, numPages = 1 }) {
  const heading = (name) => {
    if (numRows === undefined) return make("th", { textContent: name });
    const isDescending = sort?.[0] === name && !sort[1], mark = sort?.[0] === name ? (sort[1] ? " ↓" : " ↑") : "";
    return make("th", {}, make("button", { type: "button", textContent: name + mark, onclick: () => { sort = [name, isDescending]; set({}); } }));
  };
  const turn = (by, textContent) => make("button", { type: "button", textContent, disabled: !(shownPage + by >= 0 && shownPage + by < numPages), onclick: () => { page = shownPage + by; showPanels(); } });
  const about = numRows === undefined ? [] : [make("p", { className: "turn" },
    `${numRows.toLocaleString("en-US")} rows, ${columns.length} columns`, ...(numPages > 1 ? [" ", turn(-1, "←"), ` page ${shownPage + 1} of ${numPages} `, turn(1, "→")] : []))];
  const body = rows.map((row) => make("tr", {}, ...row.map((textContent) => make("td", { textContent }))));
  return make("div", {}, ...about, make("div", { className: "scroll", tabIndex: 0 }, make("table", {},
    make("thead", {}, make("tr", {}, ...columns.map(heading))), make("tbody", {}, ...body))));
}

// Buttons that save a file, which is made when one is pressed.
function saves(what, kinds, of, number = 0) {
  const name = `${what}-${of.replaceAll(" ", "-")}`;
  const made = make("span", { className: "save" }, ...kinds.map((kind) => {
    const button = make("button", { type: "button", textContent: kind.toUpperCase(), onclick: () => save(what, kind, number, `${name}.${kind}`) });
    button.setAttribute("aria-label", `Save ${name} as ${kind.toUpperCase()}`);
    return button;
  }));
  made.dataset.name = name;
  return made;
}

async function save(what, kind, number, name) {
  try {
    const file = await answerTo("save", { ...questionOfPanel(), view: handle.view, what, kind, number });
    const href = URL.createObjectURL(file);
    make("a", { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  } catch (error) {
    say(sentenceOf(error), true);
  }
}

function showSaves() {
  const of = state.compare === "text" ? "two texts" : state.compare ? `${state.model} and ${state.compare}` : state.model;
  byId("saves").replaceChildren("Save the picture ", saves("spacing", PICTURE_FILES, of));
}

prefersDark.addEventListener("change", showPanels);
