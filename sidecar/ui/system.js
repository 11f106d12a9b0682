// Whether the service keeps up: queues, endpoints, sinks, what was given up, and what check says.

import { because, enc, get, maybe, post, query } from "./api.js";
import { duration, fill, h, moment, plural, said, span } from "./dom.js";
import { badge, card, confirm, empty, facts, failed, problem, table, toast } from "./parts.js";

const PAGE = 20;
const EVERY_MS = 5000;

class DeadLetters {
  constructor(context) {
    this.context = context;
    this.place = h("section", { class: "card" }, h("h2", {}, "Dead letters"));
    this.letters = [];
  }

  async load() {
    const page = await get(`dead-letters${query({ limit: PAGE })}`);
    this.letters = page.deadLetters;
    this.cursor = page.nextCursor;
    this.show();
  }

  async loadMore() {
    const page = await get(`dead-letters${query({ limit: PAGE, cursor: this.cursor })}`);
    this.letters.push(...page.deadLetters);
    this.cursor = page.nextCursor;
    this.show();
  }

  show() {
    const mayReplay = this.context.may("admin");
    const rows = this.letters.map((it) => [
      h("strong", {}, said(it.sink)),
      [h("a", { href: `ui/verdicts/${enc(it.verdictKey)}` }, said(it.category || it.eventId)), h("div", { class: "muted" }, said(it.sensorId), " · ", moment(it.decidedAt))],
      badge(it.verdict),
      [h("div", {}, said(it.error)), h("div", { class: "muted" }, `${it.attempts} ${it.attempts === 1 ? "try" : "tries"}`)],
      mayReplay ? h("button", { class: "button is-small", "aria-label": `Deliver the verdict ${it.eventId} to ${it.sink} again`, onclick: () => this.replay(it) }, "Deliver again") : null,
    ]);
    fill(
      this.place,
      h("h2", {}, "Dead letters"),
      rows.length
        ? [h("p", { class: "muted" }, "Deliveries that were given up. The verdicts themselves are kept."), table(["Sink", "Verdict about", "It says", "What was wrong", ""], rows, { caption: "Deliveries that were given up" })]
        : empty("None.", "Every delivery was made, or is still being tried."),
      this.cursor ? h("div", { class: "center" }, h("button", { class: "button", onclick: () => this.loadMore().catch(failed) }, "Show more")) : null,
      mayReplay || !rows.length ? null : this.context.lacking("admin"),
    );
  }

  async replay(letter) {
    const reason = await confirm({
      title: `Deliver to ${letter.sink} again?`,
      words: ["All its attempts are made anew.", "When the receiver still refuses, it becomes a dead letter again."],
      action: "Deliver again",
    });
    if (reason === null) return;
    try {
      await post(`dead-letters/${letter.id}/replay`, undefined, { headers: because(reason) });
      toast("It is being delivered.");
      await this.load();
    } catch (error) {
      failed(error);
      await this.load().catch(failed);
    }
  }
}
