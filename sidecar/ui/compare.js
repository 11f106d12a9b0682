// What arms said about one event, side by side, with the differences marked.

import { enc, get } from "./api.js";
import { duration, fill, h, moment, percent, said } from "./dom.js";
import { badge, card, empty } from "./parts.js";
import { readVerdict } from "./records.js";
import { viewer } from "./viewer.js";

/** The outcome of an answer as a verdict of the contract. */
export function answerBadge(answer) {
  return badge(answer.outcome);
}

const ROWS = [
  ["Verdict", (it) => it.outcome + (it.reason ?? ""), (it) => [answerBadge(it), it.reason ? h("span", { class: "muted" }, " ", said(it.reason)) : null]],
  ["Confidence", () => "", (it) => (it.confidence === null ? "–" : percent(it.confidence))],
  ["Model", () => "", (it) => said(it.model || "–")],
  ["Prompt version", (it) => it.promptVersion, (it) => String(it.promptVersion || "–")],
  ["Frames seen", (it) => it.framesSeen, (it) => (it.framesSeen === null ? "–" : `${it.framesSeen} of ${it.framesAsked ?? "?"}`)],
  ["Latency", () => "", (it) => duration(it.latencyMs)],
  ["Tokens", () => "", (it) => (it.completionTokens === null ? "–" : `${it.promptTokens ?? "?"} in, ${it.completionTokens} out`)],
];

/** Show two or more answers beside each other. */
export function sideBySide(answers, { names = [] } = {}) {
  const differs = (value) => new Set(answers.map((it) => JSON.stringify(value(it)))).size > 1;
  const marked = ROWS.map(([name, value, show]) => [name, show, differs(value)]);
  return h(
    "div",
    { class: "sides", style: { gridTemplateColumns: `repeat(auto-fit, minmax(min(100%, 19rem), 1fr))` } },
    answers.map((answer, place) =>
      h(
        "section",
        { class: "card side-card", "aria-label": `Arm ${answer.arm}` },
        h("h3", {}, names[place] ? h("span", { class: "side-name" }, names[place], " ") : null, said(answer.arm), answer.isPublished ? h("span", { class: "chip" }, "published") : null),
        h(
          "dl",
          { class: "pairs" },
          marked.map(([name, show, isDifferent]) =>
            h("div", { class: isDifferent ? "is-different" : null }, h("dt", {}, name, isDifferent ? h("span", { class: "mark", title: "The arms differ here" }, " ≠") : null), h("dd", {}, show(answer))),
          ),
        ),
        h("blockquote", { class: "prose quote", tabindex: "0" }, said(answer.text || "Its words were not kept.")),
      ),
    ),
  );
}

export async function open(main, { identity }) {
  fill(main, h("h1", {}, "Side by side"));
  const record = await get(`verdicts/${enc(identity)}`);
  const verdict = readVerdict(record);
  const found = await get(`verdicts/${enc(verdict.key)}/answers`);
  fill(
    main,
    h(
      "div",
      { class: "page-head" },
      h("p", { class: "crumbs" }, h("a", { href: "ui" }, "Feed"), " › ", h("a", { href: `ui/verdicts/${enc(verdict.key)}` }, "Verdict")),
      h("h1", {}, "Side by side"),
      h("span", { class: "muted" }, said(verdict.category), " · ", said(verdict.sensor), " · ", moment(verdict.at)),
    ),
    h("h2", { class: "unseen" }, "What each arm said"),
    found.answers.length > 1
      ? sideBySide(found.answers)
      : card("", empty("Only one arm was asked about this event.", "A shadow arm or a policy with several arms has more to compare.")),
    h("div", { class: "narrow" }, await viewer(verdict.key, verdict)),
  );
}
