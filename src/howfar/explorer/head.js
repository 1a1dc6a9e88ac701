(() => {
  /* Send inputs in order. Browsers spread requests over several connections, on which a later key may overtake an earlier
     one: the page would then show the text without its last letters. */
  const send = window.fetch.bind(window);
  let previous = Promise.resolve();
  window.fetch = (resource, options) => {
    const address = new URL(resource.url ?? resource, document.baseURI);
    if (!address.pathname.includes("/api/kernel/set_")) return send(resource, options);
    const answer = previous.then(() => send(resource, options));
    previous = answer.catch(() => {});  // the caller sees a failure; later requests are still sent
    return answer;
  };

  /* Refuse a longer text here: sending it would take a minute, and the server would refuse it. */
  const refusal = document.createElement("p");
  refusal.setAttribute("role", "alert");
  refusal.style.cssText =
    "position:fixed;inset:0 0 auto;z-index:99;margin:0;padding:.7em 1em;background:#fff3cd;color:#4d3800";
  addEventListener("input", event => {
    const value = event.composedPath()[0].value ?? "";
    const length = value.length > MAX_CHARACTERS ? [...value].length : 0;  // code points, not UTF-16 units
    if (length <= MAX_CHARACTERS) return refusal.remove();
    event.stopImmediatePropagation();
    const [has, most] = [length, MAX_CHARACTERS].map(number => number.toLocaleString("en"));
    refusal.textContent = `The text has ${has} characters, but the explorer takes at most ${most}; shorten it.`;
    document.body.append(refusal);
  }, true);

  /* Reload if the first connection broke before the page arrived, which happens on busy servers: marimo sends nothing of
     the page over the next connection. */
  let connections = 0;
  window.WebSocket = class extends WebSocket {
    constructor(...address) {
      super(...address);
      if (++connections === 1) return;
      this.addEventListener("open", () => document.querySelector("h1.howfar") ?? location.reload());
    }
  };
})();
