"use strict";
const places = [...document.querySelectorAll(".chart")];
let drawn = 0;

async function draw() {
  const turn = ++drawn;
  for (const [index, place] of places.entries()) {
    if (turn !== drawn) return; // another drawing has begun
    await embedFitted(place, content.charts[index], place.clientWidth, 0);
  }
}

redrawing(draw);
