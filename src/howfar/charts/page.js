"use strict";
const picture = document.getElementById("picture"), PHONE = 500, MAIN_PADDING = 4;
const sides = () => document.documentElement.clientWidth < PHONE ? 8 : 16;

document.title = document.getElementById("title").textContent = [content.spec.title?.text ?? "howfar"].flat().join(" ");
document.getElementById("description").textContent = content.description;
redrawing(() => embedFitted(picture, content.spec, document.documentElement.clientWidth - 2 * MAIN_PADDING, sides()));
