/* Connects a picture of spacing with the server: numbers come, the selection and the theme go back. */
export default {
  render({ model, el }) {
    const root = document.createElement("div");
    root.className = "howfar";
    el.append(root);
    let picture = null;

    /* The page follows the reader's system; the server is told, so that the other views do too. */
    function followTheme() {
      const theme = document.body.classList.contains("dark") ? "dark" : "light";
      root.classList.toggle("dark", theme === "dark");
      root.classList.toggle("light", theme === "light");
      if (theme === model.get("theme")) return;
      model.set("theme", theme);
      model.save_changes();
    }
    const themeChanged = new MutationObserver(followTheme);
    themeChanged.observe(document.body, { attributes: true, attributeFilter: ["class"] });

    function choose(slot) {
      if (slot === null || slot === model.get("chosen")) return;
      model.set("chosen", slot);
      model.set("clicked", [slot, Date.now()]);
      model.save_changes();
    }

    function update() {
      const sent = model.get("picture");
      if (!sent) return clear();
      const { content, view } = JSON.parse(sent);
      if (picture) picture.update(content, view);
      else {
        picture = window.howfarSpacing.mount(root, content, view, { onSelect: choose, hasControls: false });
        root.querySelector(".picture").classList.add("howfar-live");
      }
      picture.select(model.get("chosen"));
    }
    function clear() {
      picture?.destroy();
      picture = null;
      root.replaceChildren();
    }

    model.on("change:picture", update);
    model.on("change:chosen", () => picture?.select(model.get("chosen")));
    followTheme();
    update();
    return () => {
      themeChanged.disconnect();
      clear();
    };
  },
};
