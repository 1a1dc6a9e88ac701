"use strict";
const content = JSON.parse(document.getElementById("content").textContent);
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const NARROWEST = 120, SMALLEST_SQUARE = 0.7; // pixels, and the share of its size that is left of a square panel

const theme = () => prefersDark.matches ? "dark" : "light";
const embed = (place, spec) => vegaEmbed(place, spec, { renderer: "svg", actions: false, tooltip: { theme: theme() } });

/* Draw a chart of fixed size into a place that may be narrower: its titles are broken into lines, its panels stand below
   each other, and then they are made narrower; what is still too wide is scrolled. */
async function embedFitted(place, spec, room, sides) {
  const config = { ...content.themes[theme()], padding: { left: sides, right: sides, top: 16, bottom: 16 } };
  const draw = async fitted => {
    await embed(place, { ...fitted, config });
    return place.querySelector("svg").width.baseVal.value / room;
  };
  let fitted = { ...spec, title: brokenTitle(spec.title, config.title, room - 2 * sides) };
  let share = await draw(fitted);
  if (share > 1) share = await draw(fitted = stacked(fitted, share));
  if (share > 1) await draw(squeezed(fitted, (share - 1) * room));
}

function brokenTitle(title, config, room) {
  if (!title) return title;
  const lines = (texts, size, weight) => [texts ?? []].flat().flatMap(text => broken(text, `${weight} ${size}px Inter, Arial, sans-serif`, room));
  return { ...title, text: lines(title.text, config.fontSize, 600), subtitle: lines(title.subtitle, config.subtitleFontSize, 400) };
}

function broken(text, font, room) {
  const pen = broken.pen ??= document.createElement("canvas").getContext("2d"), lines = [""];
  pen.font = font;
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (pen.measureText(longer).width <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.filter(line => line);
}

/* Every part of a chart, changed. */
const changed = (spec, change) => JSON.parse(JSON.stringify(spec), (key, value) => value && typeof value === "object" && !Array.isArray(value) ? change(value, key) : value);

const stacked = (spec, share) => changed(spec, ({ hconcat, minExtent, ...part }, key) => ({
  ...part,
  ...(hconcat && { vconcat: hconcat }),
  ...(part.columns && key === "" && { columns: Math.max(1, Math.floor(part.columns / share)) }),
  ...(key === "color" && part.field && part.legend !== null && { legend: { ...part.legend, columns: 1, ...(part.legend?.gradientLength && { gradientLength: 220 }) } }),
}));

const squeezed = (spec, excess) => changed(spec, part => {
  if (typeof part.width !== "number" || part.type) return part; // no panel, but perhaps a mark
  if (part.width !== part.height) return { ...part, width: Math.max(NARROWEST, part.width - excess / (spec.columns ?? 1)) };
  const side = Math.max(SMALLEST_SQUARE * part.width, part.width - excess / (spec.columns ?? 1));
  return { ...part, width: side, height: side };
});

/* Draw again when the reader's theme or the page's width changes. */
function redrawing(draw) {
  let width = innerWidth, waiting;
  prefersDark.addEventListener("change", draw);
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
  draw();
}
