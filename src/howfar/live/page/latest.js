// Asks questions one at a time; of those that wait, only the latest of each kind is asked, and the others get null.
"use strict";

class Latest {
  #send;
  #waiting = new Map();
  #isAsking = false;

  constructor(send) {
    this.#send = send; // takes a question and returns a promise of its answer
  }

  ask(kind, question) {
    return new Promise((resolve, reject) => {
      this.#waiting.get(kind)?.resolve(null); // replaced by this one
      this.#waiting.set(kind, { question, resolve, reject });
      this.#next();
    });
  }

  async #next() {
    if (this.#isAsking || !this.#waiting.size) return;
    const [kind, { question, resolve, reject }] = this.#waiting.entries().next().value;
    this.#waiting.delete(kind);
    this.#isAsking = true;
    try {
      resolve(await this.#send(question));
    } catch (error) {
      reject(error);
    } finally {
      this.#isAsking = false;
      this.#next();
    }
  }
}
