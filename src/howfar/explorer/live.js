/* Connects a picture of spacing with the server: it receives numbers and sends the reader's choices. */
const LONGEST_WAIT = 60_000, MOST_WRITTEN = 80; // milliseconds until an answer counts as lost; characters
const PAUSE = 150; // milliseconds without a key before anything but the picture is asked for
let latest = 0;
const now = () => latest = Math.max(Date.now(), latest + 1); // two keys may come within a millisecond
const asIs = layer => layer === null ? "all" : String(layer);
const asAsked = layer => layer === "all" ? null : Number(layer);

export default {
  render({ model, el }) {
    const root = document.createElement("div"), name = document.createElement("h2"), stage = document.createElement("div");
    root.className = "howfar";
    el.append(root);
    let picture = null, sent = null, told = {}, edit = { factor: 1, layer: null, plain: false };
    let asked = null, wanted = null, giveUp = null, writing = null, isDrawnEdited = false;
    let selected = 0, chosenAt = 0, typed = null, isTypedSent = false, lastKey = -PAUSE, pausing = null;

    /* Follow the system's theme, and tell the server, so that the other views follow too. */
    function followTheme() {
      const theme = document.body.classList.contains("dark") ? "dark" : "light";
      root.classList.toggle("dark", theme === "dark");
      root.classList.toggle("light", theme === "light");
      if (theme !== model.get("theme")) tell({ theme });
    }
    const themeChanged = new MutationObserver(followTheme);
    themeChanged.observe(document.body, { attributes: true, attributeFilter: ["class"] });

    const valueOf = name => JSON.parse(model.get(name) || "{}");
    function tell(values) {
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
    }
    const chosen = () => Math.min(selected, sent.content.texts[0].labels.length - 1); // the text may have become shorter
    function select(slot) {
      if (slot !== selected) {
        selected = slot;
        picture?.select(slot);
      }
      ask();
    }
    function choose(slot) {
      if (slot === null || slot === chosen()) return;
      select(slot);
      if (!isEdited()) tell({ clicked: [slot, chosenAt = now()] });
      else move(asIs(edit.layer), slot, 1, true); // the earlier change is undone
    }

    /* Draw what is typed before the page's cells run, which follow when the typing pauses. One text at a time is sent; of those
       that wait, only the latest. A message runs no cell, a changed trait would. */
    function follow(event) {
      const box = event.composedPath()[0];
      if (!sent || box.labels?.[0]?.textContent !== model.get("box")) return;
      if (writing) writing = wanted = null; // what is typed must not be overwritten
      typed = box.value;
      lastKey = performance.now();
      if (!isTypedSent) sendTyped();
    }
    function sendTyped() {
      isTypedSent = typed !== null;
      if (isTypedSent) model.send({ typed });
      typed = null;
    }

    /* Ask one question at a time; of those that wait, only the latest is asked. Nothing is asked between two quick keys. */
    function ask() {
      clearTimeout(pausing);
      const left = lastKey + PAUSE - performance.now();
      if (left > 0) return void (pausing = setTimeout(ask, left));
      if (!sent) return;
      wanted = { cell: chosen(), ...edit, ...(writing && { text: writing.text }), revision: sent?.revision };
      if (asked === null) askNext();
    }
    function askNext() {
      clearTimeout(giveUp);
      asked = wanted && { ...wanted, when: performance.now() };
      wanted = null;
      if (!asked) return;
      model.send({ asked });
      giveUp = setTimeout(() => { if (writing) finish(); askNext(); }, LONGEST_WAIT);
    }
    function answered(answer) {
      if (answer.when === undefined || answer.when !== asked?.when) return;
      const question = asked;
      asked = null;
      if (answer.revision === sent?.revision) {
        if (question.text === undefined) told = answer;
        else grow(answer);
      } else if (writing) ask(); // the server has sent a new picture meanwhile
      if (asked === null) askNext();
      if (writing) return;
      if (isEdited() || isDrawnEdited) draw();
      else showPanel();
    }

    const isEdited = () => edit.plain || edit.factor !== 1;
    function draw() {
      if (!sent || !picture) return;
      const { content, view } = sent;
      const moved = isEdited() && told.gaps
        ? { ...content, rows: content.rows.map((row, index) => told.gaps[index] ? { ...row, gaps: told.gaps[index] } : row) } : content;
      isDrawnEdited = isEdited();
      picture.update(moved, view, isDrawnEdited ? content : null);
      showPanel();
    }
    function showPanel() {
      if (!picture) return; // the text was removed or refused before the answer came
      const losses = told.losses ?? [], nats = losses.reduce((total, { change }) => total + change, 0);
      picture.show({
        isMoved: isEdited(), expected: told.expected ?? [], losses,
        effect: told.error ?? (isEdited() && told.losses ? window.howfarSpacing.effectInWords(nats, losses.length, sent.content.noun, told.hasMore) : ""),
        isWriting: writing !== null, canTakeBack: writing === null && model.get("before") !== null,
      });
    }
    function move(layer, slot, factor, isDone) {
      edit = { factor, layer: asAsked(layer), plain: false, when: now() };
      select(slot);
      if (isDone) {
        chosenAt = edit.when;
        tell({ moved: JSON.stringify({ cell: slot, ...edit }) });
      }
    }

    /* Let the model write: the picture grows with each character; the page's text is updated at the end. */
    function write() {
      if (writing) return finish();
      const text = Array.from(sent.text).slice(0, sent.ends[chosen()]).join("");
      writing = { text, count: 0 };
      ask();
      showPanel();
    }
    function grow(answer) {
      if (!writing || !picture) return;
      if (answer.error || answer.isEnd || !answer.text) return finish();
      writing.text = answer.text;
      picture.update(answer.content, sent.view, null);
      if (++writing.count >= MOST_WRITTEN) return finish();
      ask();
    }
    function finish() {
      model.set("before", sent.text);
      const { text } = writing;
      writing = wanted = null;
      fill(model.get("box"), text);
      showPanel();
    }
    function takeBack() {
      fill(model.get("box"), model.get("before"));
      model.set("before", null);
      showPanel();
    }

    /* Fill a text box as typing does. If the server set its value, what the box sends at the end of a pause could undo that. */
    function fill(label, text) {
      const boxes = Array.from(document.querySelectorAll("marimo-text-area"), area => area.shadowRoot?.querySelector("textarea"));
      const box = boxes.find(box => box?.labels[0]?.textContent === label);
      if (!box || box.value === text) return;
      Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(box, text); // React replaces the box's own
      box.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
    }

    function update() {
      if (!model.get("picture")) return clear();
      sent = JSON.parse(model.get("picture"));
      const { content, view } = sent;
      told = {};
      name.textContent = content.title;
      if (!picture) {
        root.replaceChildren(name, stage);
        picture = window.howfarSpacing.mountMoving(stage, content, view, {
          layer: edit.layer !== null || isEdited() ? asIs(edit.layer) : undefined, hasControls: false, onSelect: choose, onMove: move,
          factorAt: (layer, slot) => slot === chosen() && asIs(edit.layer) === layer && !edit.plain ? edit.factor : 1,
          onLayer: layer => move(layer, chosen(), edit.factor, true),
          onReset: () => move(picture.layer, chosen(), 1, true),
          onWrite: write, onTakeBack: takeBack,
        });
        root.querySelector(".picture").classList.add("howfar-live");
      }
      draw();
      if (picture.selected !== chosen()) picture.select(chosen());
      ask();
    }
    function clear() {
      picture?.destroy();
      picture = sent = writing = null;
      root.replaceChildren();
    }
    function followEdit() {
      const given = { ...edit, ...valueOf("edit") };
      const isNew = ["factor", "layer", "plain"].some(part => given[part] !== edit[part]);
      if (!isNew || given.when < (edit.when ?? 0)) return; // an echo of an older change
      edit = given;
      if (picture && (edit.layer !== null || isEdited())) picture.layer = asIs(edit.layer);
      ask();
    }

    function followSelection() {
      const { cell, when } = valueOf("selected");
      if (when >= chosenAt) select(cell); // else it is an echo of an older choice
    }

    document.addEventListener("input", follow, true);
    model.on("msg:custom", ({ isDrawn, told }) => { if (isDrawn) sendTyped(); else if (told) answered(JSON.parse(told)); });
    model.on("change:picture", update);
    model.on("change:edit", followEdit);
    model.on("change:selected", followSelection);
    model.on("change:filled", () => Object.entries(valueOf("filled").texts).forEach(([label, text]) => fill(label, text)));
    edit = { ...edit, ...valueOf("edit") };
    followTheme();
    followSelection();
    update();
    return () => {
      document.removeEventListener("input", follow, true);
      themeChanged.disconnect();
      clearTimeout(giveUp);
      clearTimeout(pausing);
      clear();
    };
  },
};
