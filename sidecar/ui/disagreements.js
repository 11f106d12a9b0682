// A queue of events about which arms disagree: who was right is said with one key each.

import { del, enc, get, put, query } from "./api.js";
import { estimate, fill, h, moment, plural, said } from "./dom.js";
import { sideBySide } from "./compare.js";
import { onKey } from "./keys.js";
import { card, empty, failed, intervals, keepingFocus, problem, toast } from "./parts.js";
import { truthWords } from "./verdict.js";
import { viewer } from "./viewer.js";

const PAGE = 20;
const BOTH_WRONG = "both wrong";

/** Pick the two answers that disagree: what was published, or came first, is on the left. */
export function opponents(answers) {
  const left = answers.find((it) => it.isPublished) ?? answers[0];
  return [left, answers.find((it) => it !== left && it.outcome !== left.outcome) ?? answers.find((it) => it !== left)];
}

const TRUTH = { confirmed: true, rejected: false };

/**
 * What a choice says about the event: `{truth, note}`; null when it cannot be said.
 *
 * An arm that gave no verdict cannot be right. When both gave opposite ones, «both wrong» means
 * that neither yes nor no tells what happened.
 */
export function meaning(choice, [left, right]) {
  const said = [left, right].map((it) => TRUTH[it.outcome]);
  if (choice === "left" || choice === "right") {
    const truth = said[choice === "left" ? 0 : 1];
    return truth === undefined ? null : { truth, note: "" };
  }
  const given = said.filter((it) => it !== undefined);
  if (given.length === 1) return { truth: !given[0], note: BOTH_WRONG };
  return { truth: null, note: BOTH_WRONG };
}

class Queue {
  constructor(main, context) {
    this.context = context;
    this.wanted = Object.fromEntries(["sensor", "alertType"].map((it) => [it, new URLSearchParams(location.search).get(it) ?? ""]));
    this.waiting = [];
    this.done = [];
    this.skipped = new Set();
    this.after = "";
    this.progress = h("span", { class: "muted", role: "status" });
    this.place = h("div", { class: "stack" });
    this.shown = h("section", { class: "card" }, h("h2", {}, "What the labels have shown so far"), h("p", { class: "muted" }, "Loading…"));
    fill(main, h("div", { class: "page-head" }, h("h1", {}, "Disagreements"), this.progress), this.filters(), h("div", { class: "stack" }, this.place, this.shown));
    for (const [key, choice, words] of [["1", "left", "left right"], ["2", "right", "right right"], ["3", "both", "both wrong"]]) {
      onKey(key, `«${words}»`, () => this.choose(choice));
    }
    onKey("s", "skip", () => this.skip());
    onKey("u", "undo", () => this.undo());
  }

  filters() {
    const field = (name, label) => h("label", { class: "field" }, label, h("input", { type: "search", name, maxlength: 256, value: this.wanted[name] }));
    const form = h(
      "form",
      {
        class: "filters is-short",
        role: "search",
        "aria-label": "Filters",
        onsubmit: (event) => event.preventDefault(),
        onchange: () => {
          this.wanted = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
          history.replaceState(null, "", location.pathname + query(this.wanted));
          this.waiting = [];
          this.after = "";
          this.start().catch(failed);
        },
      },
      field("sensor", "Sensor"),
      field("alertType", "Alert type"),
    );
    return form;
  }

  async start() {
    await this.load();
    await this.show();
    await this.sum();
  }

  async load() {
    const page = await get(`ab/disagreements${query({ ...this.wanted, limit: PAGE, cursor: this.after })}`);
    this.waiting.push(...page.events.filter((it) => !this.skipped.has(it.key)));
    this.after = page.nextCursor ?? "";
    this.left = page.remaining;
  }

  async show() {
    if (!this.waiting.length && this.after) await this.load();
    const event = this.waiting[0];
    this.tellProgress();
    if (!event) {
      fill(
        this.place,
        card("", empty(this.done.length ? "That was the last one." : "Nobody disagrees.", "Events on which two arms gave different answers appear here until somebody says what happened."), this.done.length ? h("div", { class: "center" }, this.undoButton()) : null),
      );
      return;
    }
    this.pair = opponents(event.answers);
    const [left, right] = this.pair;
    const frames = h("p", { class: "muted is-loading" }, "Loading the frames…");
    fill(
      this.place,
      h(
        "div",
        { class: "duel" },
        h(
          "section",
          { class: "card", "aria-label": "The event" },
          h("h2", {}, h("a", { href: `ui/verdicts/${enc(event.key)}` }, said(event.category || "no alert type")), h("span", { class: "muted" }, " at ", said(event.sensorId || "no sensor"), " · ", moment(event.timestamp))),
          frames,
        ),
        h("div", {}, sideBySide([left, right], { names: ["Left:", "Right:"] })),
      ),
      this.buttons(),
    );
    // Whoever knows the answer need not wait for them.
    viewer(event.key).then((it) => frames.replaceWith(it)).catch(failed);
  }

  buttons() {
    const button = (choice, key, words) => {
      const means = meaning(choice, this.pair);
      return h(
        "button",
        { class: "button choice", "data-focus": choice, disabled: !means, onclick: () => this.choose(choice) },
        h("span", {}, h("kbd", { "aria-hidden": "true" }, key), " ", words),
        h("small", {}, means ? truthWords(means.truth) : "gave no verdict"),
      );
    };
    if (!this.context.may("label")) return this.context.lacking("label");
    return h(
      "div",
      { class: "choices", role: "group", "aria-label": "Who was right?" },
      button("left", "1", "Left right"),
      button("right", "2", "Right right"),
      button("both", "3", "Both wrong"),
      h("button", { class: "button choice", "data-focus": "skip", onclick: () => this.skip() }, h("span", {}, h("kbd", { "aria-hidden": "true" }, "s"), " Skip"), h("small", {}, "comes again next time")),
      this.undoButton(),
    );
  }

  undoButton() {
    return h("button", { class: "button choice", "data-focus": "undo", disabled: !this.done.length, onclick: () => this.undo() }, h("span", {}, h("kbd", { "aria-hidden": "true" }, "u"), " Undo"), h("small", {}, this.done.length ? "the last one" : "nothing yet"));
  }

  async choose(choice) {
    const event = this.waiting[0];
    const means = event && this.context.may("label") && meaning(choice, this.pair);
    if (!means || this.isBusy) return;
    await this.alone(async () => {
      await put(`verdicts/${enc(event.key)}/label`, means);
      this.waiting.shift();
      this.done.push({ event, isLabelled: true });
      this.left = Math.max(0, this.left - 1);
      toast(`Kept: ${truthWords(means.truth)}.`);
    });
  }

  async skip() {
    const event = this.waiting[0];
    if (!event || this.isBusy) return;
    await this.alone(async () => {
      this.skipped.add(event.key);
      this.waiting.shift();
      this.done.push({ event, isLabelled: false });
    });
  }

  async undo() {
    const last = this.done.at(-1);
    if (!last || this.isBusy) return;
    await this.alone(async () => {
      if (last.isLabelled) await del(`verdicts/${enc(last.event.key)}/label`);
      this.done.pop();
      this.skipped.delete(last.event.key);
      this.waiting.unshift(last.event);
      if (last.isLabelled) this.left += 1;
      toast("Taken back.");
    });
  }

  /** Do one thing at a time, so that a key that is held down labels nothing unseen. */
  async alone(act) {
    this.isBusy = true;
    try {
      await act();
      await keepingFocus(this.place, () => this.show());
      this.isBusy = false;
      await this.sum();
    } catch (error) {
      failed(error);
    } finally {
      this.isBusy = false;
    }
  }

  tellProgress() {
    const labelled = this.done.filter((it) => it.isLabelled).length;
    this.progress.textContent = `${plural(labelled, "label")} by you now · ${this.left} to go`;
  }

  async sum() {
    try {
      const summary = await get(`ab/summary${query(this.wanted)}`);
      fill(this.shown, h("h2", {}, "What the labels have shown so far"), showSummary(summary));
    } catch (error) {
      fill(this.shown, h("h2", {}, "What the labels have shown so far"), problem(error));
    }
  }
}

/** Show what labels say about arms, each number with its 95 % interval. */
export function showSummary(summary) {
  const arms = summary.arms.filter((it) => it.labelled > 0);
  if (!arms.length) return h("p", { class: "muted" }, `${plural(summary.events, "event")} compared, none of them labelled.`);
  const pairs = summary.pairs.filter((it) => it.labelled > 0);
  return [
    h("p", { class: "muted labelled" }, `${summary.labelled} of ${plural(summary.events, "compared event")} labelled. Bars are 95 % intervals.`),
    h("h3", {}, "Accuracy"),
    intervals(arms.map((it) => ({ name: it.name, number: it.accuracy })), { from: 0, to: 1, label: "Accuracy", write: (it) => estimate(it) }),
    pairs.map((it) => [
      h("h3", {}, said(it.candidate), " against ", said(it.reference)),
      intervals([{ name: "Difference", number: it.accuracyDifference }], { from: -1, to: 1, mark: 0, label: "Difference of accuracy", write: (number) => signed(number) }),
      h("p", { class: "muted" }, `Of the events they differ on, ${said(it.candidate).textContent} alone was right ${times(it.onlyCandidateRight)}, ${said(it.reference).textContent} alone ${times(it.onlyReferenceRight)}.`),
      it.labelsAreSelected ? h("p", { class: "muted" }, "Disagreements were labelled more often than agreements, so the accuracy of a single arm misleads; the difference does not.") : null,
      it.labelsNeeded ? h("p", { class: "muted" }, `${plural(it.labelsNeeded, "label")} in all would show whether they are equally good.`) : null,
    ]),
  ];
}

function times(count) {
  return count === 1 ? "once" : `${count} times`;
}

/** Write a difference of shares in points, with its interval. */
export function signed(number) {
  if (!number || number.value === null || number.value === undefined) return "–";
  const write = (it) => `${it > 0 ? "+" : ""}${(it * 100).toFixed(0)}`;
  const range = number.low === null ? "" : ` (${write(number.low)} to ${write(number.high)})`;
  return `${write(number.value)}${range} points`;
}

export async function open(main, context) {
  await new Queue(main, context).start();
}
