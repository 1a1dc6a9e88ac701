// What stands below the picture: files to save, and a panel of each shown text, put into words from the server's numbers.
"use strict";

const TABS = { "what-if": "What if", attention: "Attention", numbers: "Numbers", context: "Context" };
const PICTURE_FILES = ["html", "svg", "png", "pdf"];
const asking = new Latest((question) => answerTo("panel", question));
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let page = 0, sort = null; // of the table of numbers
let keyOfPanels = "";

const startPanels = () => ({ panel: { name: "what-if", layer: "all", part: 1, only: false } });

// The layers of the models that are shown.
function layersToChoose({ model, compare }) {
  const layers = [model, compare].flatMap((name) => modelNamed(name)?.layers ?? []).sort((one, other) => one - other);
  return ["all", ...new Set(layers.map(String))];
}

function panelsFromLink({ panel }, { read, oneOf }, models) {
  const fresh = startPanels().panel, given = panel !== null && typeof panel === "object" ? panel : {};
  return {
    panel: {
      name: oneOf(given.name, Object.keys(TABS), "panel", fresh.name),
      layer: oneOf(given.layer, layersToChoose(models), "panel's layer", fresh.layer),
      part: read(given.part, (part) => Number.isInteger(part) && part > 0, "its token must be a number from 1", fresh.part),
      only: oneOf(given.only, [false, true], "choice of numbers", fresh.only),
    },
  };
}

const token = (textContent) => element("bdi", { className: "token", textContent });
const percentOf = (share) => `${Math.round(100 * share)}%`;
const questionOfPanel = () => ({
  ...question(), ...state.panel, panel: state.panel.name, page, sort, theme: prefersDark.matches ? "dark" : "light",
  layer: layersToChoose(state).includes(state.panel.layer) ? state.panel.layer : "all", // it may be of a model that was shown before
});

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
    const focused = focusedIn(byId("documents"));
    byId("documents").replaceChildren(...answer.panels.map(showDocument));
    byId("documents").querySelectorAll(".chart").forEach(scrollToSelected);
    if (focused) focusAgain(...focused);
    showSettings(answer.panels);
    byId("panels").dataset.panel = state.panel.name;
  } catch (error) {
    keyOfPanels = "";
    byId("documents").replaceChildren(element("p", { className: "refused", textContent: sentenceOf(error) }));
  }
}

// The keyboard's focus stays on the button that was pressed, which is made anew: the number of its document, and what it does.
function focusedIn(documents) {
  const { activeElement: button } = document, { does } = button?.dataset ?? {};
  return does && documents.contains(button) ? [[...documents.children].findIndex((one) => one.contains(button)), does] : null;
}

function focusAgain(number, does) {
  const buttons = [...byId("documents").children[number]?.querySelectorAll("[data-does]:not(:disabled)") ?? []];
  const same = buttons.find((one) => one.dataset.does === does);
  (same ?? buttons.find((one) => one.dataset.does.startsWith("turn") && does.startsWith("turn")))?.focus(); // on the last page the other arrow
}

// A chart wider than the screen begins where its largest letter, the selected one, is in view.
function scrollToSelected(chart) {
  const sizeOf = (text) => parseFloat(text.getAttribute("font-size")), texts = [...chart.shadowRoot.querySelectorAll(".mark-text text")];
  const largest = Math.max(...texts.map(sizeOf)), selected = texts.find((text) => sizeOf(text) === largest);
  if (!selected || texts.every((text) => sizeOf(text) === largest)) return;
  const beyond = selected.getBoundingClientRect().right + 24 - chart.getBoundingClientRect().right; // some room beside it
  if (beyond > 0) chart.scrollLeft += beyond;
}

function set(changes) {
  Object.assign(state.panel, changes);
  if (!("page" in changes)) page = 0;
  showPanels();
}

function showTabs() {
  if (byId("tabs").childElementCount) return void Array.from(byId("tabs").children, markTab);
  byId("tabs").replaceChildren(...Object.entries(TABS).map(([name, textContent]) => {
    const tab = element("button", { type: "button", textContent, onclick: () => set({ name }) });
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

const checkbox = (text, checked, onChange) => element("label", {},
  element("input", { type: "checkbox", checked, onchange: ({ target }) => onChange(target.checked) }), ` ${text}`);

function showSettings(documents) {
  if (byId("settings").contains(document.activeElement) && byId("settings").dataset.of === state.panel.name) return;
  byId("settings").dataset.of = state.panel.name;
  const nameOf = (layer) => (layer === "all" ? "all layers" : `layer ${layer}`);
  const layer = element("select", { onchange: () => set({ layer: layer.value }) }, ...layersToChoose(state).map((value) =>
    element("option", { value, textContent: nameOf(value), selected: value === state.panel.layer })));
  const most = Math.max(1, ...documents.map(({ said }) => said?.numParts ?? 1));
  const within = (value) => Math.min(Math.max(1, Math.round(value) || 1), most);
  const part = element("input", { type: "number", min: 1, max: most, value: within(state.panel.part), onchange: () => {
    part.value = within(part.value);
    set({ part: Number(part.value) });
  } });
  byId("settings").replaceChildren(...{
    "what-if": state.compare ? [] : [checkbox(state.plain === null ? `Plain +1 instead, in ${nameOf(handle.layer)}` : "Plain +1 instead", state.plain !== null,
      (isPlain) => { state.plain = isPlain ? handle.layer : null; refresh(); })],
    attention: [element("label", {}, "Layer ", layer)],
    numbers: [checkbox("Only the selected character", state.panel.only, (only) => set({ only }))],
    context: most > 1 ? [element("label", {}, "Token within the character ", part)] : [],
  }[state.panel.name]);
}

// The words of each panel: a sentence, and the headings of its charts.
const WORDS = {
  "what-if"(said) {
    const headings = { predictions: ["What the model expects after ", token(said.label)] };
    if (state.compare) return { sentence: ["No step is moved while two readings are compared."], headings };
    if (!said.isMoved) return { sentence: ["Nothing has changed yet: drag a tile of ", token(said.label), " in the picture, or the slider beside it."], headings };
    headings.losses = [`${said.first ? `Which of ${said.first}` : "Which"} become harder (up) or easier (down)`];
    headings.gaps = ["Other steps that changed"];
    const effect = effectInWords(said.nats, said.numFollowing, said.where);
    const [before, after] = said.likeliest.map(token);
    return { sentence: [`${effect} Likeliest next: `, before, " before, ", after, ` after.${said.hasOtherGaps ? "" : " No other step changed."}`], headings };
  },
  attention({ label, layer, unit, own, mark, isMoved }) {
    const of = layer === null ? "all layers, mean over heads" : `layer ${layer}, head by head`;
    const before = mark === null ? "" : ` and ${percentOf(mark)} goes to the mark before the text`;
    return {
      sentence: [`Attention here (${of}${isMoved ? ", with the changed steps" : ""}): ${percentOf(own)} stays on the selected ${unit} itself${before}.`],
      headings: { attention: ["What ", token(label), ` attends to: ${of}`], "attention-by-distance": ["Weight by distance, in plain and in learned positions"] },
    };
  },
  numbers({ isMoved }) {
    return { sentence: [`Every number behind the picture: increments and positions as the model uses them, not divided by the row's mean.${isMoved ? " The changed steps, and what they change, are included." : ""} Click a column's heading to sort.`] };
  },
  context({ label, unit, numOthers, isAll, isMoved }) {
    const others = isAll ? `every ${unit}` : `the ${numOthers.toLocaleString("en-US")} likeliest ${unit}s`;
    return {
      sentence: [`The step that the model would take to ${others} here, after the same text${isMoved ? " without the changed steps" : ""}. The text has `, token(label), "."],
      headings: { context: ["The step to ", token(label), " among the steps to others"] },
    };
  },
};

function showDocument({ name, error, said, charts, table, saved }, number) {
  if (error) return element("p", { className: "refused" }, element("b", { textContent: `${name}. ` }), sentenceOf({ message: error }));
  const { sentence, headings } = WORDS[state.panel.name]?.(said) ?? {};
  if (!sentence || (charts.length && !headings[charts[0].name])) return ""; // another panel was chosen meanwhile
  return element("div", {},
    element("p", { className: "said" }, element("b", { textContent: `${name}. ` }), ...sentence),
    ...charts.map((chart) => showChart(chart, headings[chart.name], name, number)),
    ...(saved.length ? [saves("numbers", saved, name, number)] : []),
    ...(table ? [showTable(table, said)] : []));
}

// A chart in a tree of its own, where its identifiers meet no other's. What a mark says to a screen reader is its tooltip too.
function showChart({ name, description, svg }, heading, of, number) {
  const place = element("div", { className: "chart", tabIndex: 0 }), root = place.attachShadow({ mode: "open" });
  root.innerHTML = svg;
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", description);
  for (const mark of root.querySelectorAll("[aria-label]")) {
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = mark.getAttribute("aria-label");
    mark.prepend(title);
  }
  return element("figure", {}, element("h3", {}, ...heading, " ", saves(name, PICTURE_FILES, of, number)), place);
}

function showTable([columns, ...rows], { numRows, page: shownPage = 0, numPages = 1 }) {
  const heading = (name) => {
    if (numRows === undefined) return element("th", { textContent: name });
    const isDescending = sort?.[0] === name && !sort[1], mark = sort?.[0] === name ? (sort[1] ? " ↓" : " ↑") : "";
    const button = element("button", { type: "button", textContent: name + mark, onclick: () => { sort = [name, isDescending]; set({}); } });
    button.dataset.does = `sort ${name}`;
    return element("th", {}, button);
  };
  const turn = (by, textContent) => {
    const button = element("button", { type: "button", textContent, disabled: !(shownPage + by >= 0 && shownPage + by < numPages), onclick: () => { page = shownPage + by; showPanels(); } });
    button.dataset.does = `turn ${by}`;
    return button;
  };
  const about = numRows === undefined ? [] : [element("p", { className: "turn" },
    `${counted(numRows.toLocaleString("en-US"), "row")}, ${columns.length} columns`, ...(numPages > 1 ? [" ", turn(-1, "←"), ` page ${shownPage + 1} of ${numPages} `, turn(1, "→")] : []))];
  const body = rows.map((row) => element("tr", {}, ...row.map((textContent) => element("td", { textContent }))));
  return element("div", {}, ...about, element("div", { className: "scroll", tabIndex: 0 }, element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map(heading))), element("tbody", {}, ...body))));
}

// Buttons that save a file, which is made when one is pressed.
function saves(what, kinds, of, number = 0) {
  const name = `${what}-${of.replaceAll(" ", "-")}`;
  const made = element("span", { className: "save" }, ...kinds.map((kind) => {
    const button = element("button", { type: "button", textContent: kind.toUpperCase(), onclick: () => save(what, kind, number, `${name}.${kind}`) });
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
    element("a", { href, download: name }).click();
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
