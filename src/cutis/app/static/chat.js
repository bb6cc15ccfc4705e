// Answers of the chat in their place and as they come; without it the form loads the page anew.
"use strict";

/** The lines of an answer as they arrive, each a JSON object. */
async function* linesOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}

/** Elements of a page that the server has rendered, found by a selector. */
function partsOf(html, selector) {
  return new DOMParser().parseFromString(html, "text/html").querySelectorAll(selector);
}

class ChatBox {
  constructor(root) {
    const part = (name) => root.querySelector(`[data-${name}]`);
    this.form = part("chat-form");
    this.log = part("log");
    this.preview = part("preview");
    this.problem = part("chat-problem");
    this.status = part("chat-status");
    this.button = this.form.querySelector("button[type=submit]");
    this.question = this.form.querySelector("textarea");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    this.question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.button.disabled) this.form.requestSubmit();
    });
  }

  async ask() {
    this.wait(true);
    try {
      const answer = await fetch(this.form.action, {
        method: "POST",
        body: new URLSearchParams(new FormData(this.form)),
        headers: { Accept: "application/x-ndjson" },
      });
      if (answer.ok) await this.follow(answer);
      else this.fail(...partsOf(await answer.text(), "#problem > p"));
    } catch {
      this.fail(Object.assign(document.createElement("p"), { textContent: this.problem.dataset.offline }));
    } finally {
      this.wait(false);
    }
  }

  /** Shows sentences while they come; the whole answer then takes their place, once, in the log. */
  async follow(answer) {
    let whole = false;
    for await (const line of linesOf(answer)) {
      if (line.text) {
        this.preview.hidden = false;
        this.preview.textContent += line.text;
      } else if (line.html) {
        whole = true;
        this.log.append(...partsOf(line.html, ".turn"));
      }
    }
    if (!whole) throw new Error("the answer was cut off");
    this.form.querySelector("[data-consent]:has(:checked)")?.remove();
    this.question.value = "";
    this.question.focus();
    this.log.lastElementChild.scrollIntoView({ block: "nearest" });
  }

  fail(...nodes) {
    this.problem.replaceChildren(...nodes);
    this.problem.hidden = false;
    this.problem.focus();
  }

  wait(on) {
    this.button.disabled = on;
    this.log.setAttribute("aria-busy", String(on));
    this.status.textContent = on ? this.button.dataset.working : "";
    this.preview.textContent = "";
    this.preview.hidden = true;
    if (on) this.problem.hidden = true;
  }
}

for (const root of document.querySelectorAll("[data-chat]")) new ChatBox(root);
