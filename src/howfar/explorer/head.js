(() => {
  /* Send what one does in the order in which one did it. Browsers spread requests over several connections, on which a
     later key may overtake an earlier one: the page would then show the text without its last letters. */
  const send = window.fetch.bind(window);
  let previous = Promise.resolve();
  window.fetch = (resource, options) => {
    const address = new URL(resource.url ?? resource, document.baseURI);
    if (!address.pathname.includes("/api/kernel/set_")) return send(resource, options);
    const answer = previous.then(() => send(resource, options));
    previous = answer.catch(() => {});  // what fails is told to who asked, and holds up nothing
    return answer;
  };

  /* Begin anew where the first connection broke before the page came: marimo sends nothing of it over the next one.
     Busy servers have such pages, where many visitors come at once. */
  let connections = 0;
  window.WebSocket = class extends WebSocket {
    constructor(...address) {
      super(...address);
      if (++connections === 1) return;
      this.addEventListener("open", () => document.querySelector("h1.howfar") ?? location.reload());
    }
  };
})();
