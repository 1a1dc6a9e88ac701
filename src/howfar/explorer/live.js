/* Draws a picture of spacing and keeps it: while one types, only the data of what is in sight change hands. */
export default {
  render({ model, el }) {
    const MOST_VIEWS = 12;
    const root = document.createElement("div");
    root.className = "howfar-live";
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    el.append(root);
    let sheets = [];
    let spec = null;

    const withoutLegends = part => ({
      ...part,
      ...(part.layer && { layer: part.layer.map(withoutLegends) }),
      ...(part.encoding?.color && { encoding: { ...part.encoding, color: { ...part.encoding.color, legend: null } } }),
    });

    /* The page follows the reader's system; the server is told, so that the other views do too. */
    function followTheme() {
      const theme = document.body.classList.contains("dark") ? "dark" : "light";
      if (theme === model.get("theme")) return;
      model.set("theme", theme);
      model.save_changes();
    }
    const themeChanged = new MutationObserver(followTheme);
    themeChanged.observe(document.body, { attributes: true, attributeFilter: ["class"] });

    const inSight = new IntersectionObserver(entries => {
      for (const entry of entries) sheets[entry.target.dataset.index].isInSight = entry.isIntersecting;
      const seen = sheets.flatMap((sheet, index) => sheet.isInSight ? [index] : []);
      if (!seen.length) return;
      const visible = [seen[0], seen[seen.length - 1]];
      if (String(visible) === String(model.get("visible"))) return;
      model.set("visible", visible);
      model.save_changes();
    }, { root, rootMargin: "200px" });

    const resized = new ResizeObserver(() => {
      const room = Math.floor(root.clientWidth);
      if (room < 200 || Math.abs(room - model.get("room")) < 8) return;
      model.set("room", room);
      model.save_changes();
    });
    resized.observe(root);

    function setSheets(picture) {
      while (sheets.length > picture.count) {
        const { view, place } = sheets.pop();
        inSight.unobserve(place);
        view?.finalize();
        place.remove();
      }
      while (sheets.length < picture.count) {
        const place = document.createElement("div");
        place.dataset.index = sheets.length;
        root.append(place);
        sheets.push({ place, view: null, isDrawing: false, isInSight: false });
        inSight.observe(place);
      }
      for (const sheet of sheets) sheet.place.style.minHeight = `${picture.height}px`;
    }

    async function update() {
      const picture = model.get("picture"), sent = picture.sheets;
      root.setAttribute("aria-label", picture.description);
      if (spec !== model.get("spec")) {
        spec = model.get("spec");
        for (const sheet of sheets) drop(sheet);
      }
      setSheets(picture);
      const end = picture.first + sent.length;
      sheets.forEach((sheet, index) => { if (index < picture.first - MOST_VIEWS || index > end + MOST_VIEWS) drop(sheet); });
      const top = root.scrollTop, bottom = top + root.clientHeight;
      const isSeen = i => {
        const above = (picture.first + i) * picture.height;
        return above < bottom && above + picture.height > top;
      };
      const drawThose = wanted => Promise.all(sent.map((data, i) => wanted(i) && draw(sheets[picture.first + i], picture, data)));
      await drawThose(isSeen);
      root.dataset.revision = picture.revision;
      await new Promise(requestAnimationFrame);  // what is to be seen is seen first
      if (picture === model.get("picture")) await drawThose(i => !isSeen(i));
    }

    function drop(sheet) {
      sheet.view?.finalize();
      sheet.view = null;
      sheet.place.replaceChildren();
    }

    /* What arrives while a sheet is being drawn replaces whatever else waits for it. */
    async function draw(sheet, picture, data) {
      sheet.next = { picture, data };
      if (sheet.isDrawing) return sheet.drawing;
      sheet.isDrawing = true;
      sheet.drawing = (async () => {
        try {
          while (sheet.next) {
            const { picture, data } = sheet.next;
            sheet.next = null;
            await drawNow(sheet, picture, data);
          }
        } finally {
          sheet.isDrawing = false;
        }
      })();
      return sheet.drawing;
    }

    async function drawNow(sheet, picture, data) {
      const shape = `${picture.width} ${picture.height} ${picture.colour}`, hasView = sheet.view && sheet.shape === shape;
      if (hasView && sheet.data === data) return;  // what stands before the place where one types
      const datasets = JSON.parse(data);
      sheet.data = data;
      sheet.cells = datasets.cells.map(({ cell }) => cell);
      if (hasView) {
        for (const [name, values] of Object.entries(datasets)) sheet.view.data(name, values);
        await markChosen(sheet);
        return;
      }
      sheet.view?.finalize();
      const isFirst = sheet.place.dataset.index === "0";
      const { view } = await window.vegaEmbed(sheet.place, {
        ...(isFirst ? spec : withoutLegends(spec)), width: picture.width, height: picture.height,
        datasets: { ...spec.datasets, ...datasets }, config: { ...spec.config, padding: 0, background: "transparent" },
      }, { renderer: "canvas", actions: false, tooltip: { theme: model.get("theme") } });
      sheet.view = view;
      sheet.shape = shape;
      view.addSignalListener("chosen", (_, value) => value.cell?.length && choose(value.cell[0]));
      await markChosen(sheet);
    }

    /* Chart selections keep what is selected in a dataset of their name. */
    const markChosen = sheet => {
      const chosen = model.get("chosen");
      return sheet.view?.data("chosen_store", sheet.cells.includes(chosen)
        ? [{ unit: "", fields: [{ type: "E", field: "cell" }], values: [chosen] }] : []).runAsync();
    };

    function choose(cell) {
      if (cell === model.get("chosen")) return;
      model.set("chosen", cell);
      model.set("clicked", [cell, Date.now()]);
      model.save_changes();
      sheets.forEach(markChosen);
    }

    root.addEventListener("keydown", event => {
      const chosen = model.get("chosen"), last = model.get("picture").num_cells - 1;
      const steps = { ArrowRight: Math.min(chosen + 1, last), ArrowLeft: Math.max(chosen - 1, 0), Home: 0, End: last };
      if (!(event.key in steps)) return;
      event.preventDefault();
      choose(steps[event.key]);
    });

    model.on("change:picture", update);
    model.on("change:chosen", () => sheets.forEach(markChosen));
    update();
    followTheme();
    return () => {
      themeChanged.disconnect();
      inSight.disconnect();
      resized.disconnect();
      sheets.forEach(drop);
    };
  },
};
