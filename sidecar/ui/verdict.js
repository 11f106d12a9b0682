// One verdict: what the model saw, what it said, where it comes from, and asking again.

import { enc, get, maybe, post, put, del } from "./api.js";
import { duration, fill, h, moment, percent, said } from "./dom.js";
import { sideBySide } from "./compare.js";
import { showDiff } from "./diff.js";
import { badge, card, confidence, empty, facts, failed, jsonBlock, keepingFocus, problem, toast, word } from "./parts.js";
import { NOTES, readVerdict } from "./records.js";
import { located, viewer } from "./viewer.js";

const PATIENCE_MS = 1500;
const STAGES = {
  accepted: "Accepted",
  taken_up: "Taken up",
  clip: "Clip found",
  shown: "Frames made",
  answered: "Model answered",
  decided: "Decided",
};

export async function open(main, context) {
  fill(main, h("h1", {}, "Verdict"));
  const record = await get(`verdicts/${enc(context.identity)}`);
  const verdict = readVerdict(record);
  if (verdict.isPending) {
    fill(main, head(verdict), card("", empty("Not decided yet.", "This page shows the verdict once it is there.")));
    setTimeout(() => open(main, context).catch(failed), PATIENCE_MS);
    return;
  }
  document.title = `${word(verdict.verdict)}: ${verdict.category} · VLM sidecar`;
  const known = await maybe(`verdicts/${enc(verdict.key)}/provenance`);
  const drawn = { boxes: verdict.boxes, points: verdict.points };
  fill(
    main,
    head(verdict),
    h(
      "div",
      { class: "two" },
      h("div", { class: "stack" }, h("section", { class: "card", "aria-label": "What the model saw" }, await viewer(verdict.key, drawn), located(drawn)), reasoning(verdict), happenings(verdict)),
      h("div", { class: "stack" }, decision(verdict), known ? truth(verdict, known, context) : null, known ? timeline(known) : null),
    ),
    known && known.arms.length > 1 ? h("section", { class: "block" }, h("h2", {}, "What each arm said ", h("a", { class: "aside-link", href: `ui/compare/${enc(verdict.key)}` }, "alone on a page")), sideBySide(known.arms)) : null,
    h("div", { class: "two even block" }, known ? prompt(known) : null, again(verdict, known, context)),
    h(
      "div",
      { class: "stack block" },
      known ? raw(known) : null,
      card("", h("details", {}, h("summary", {}, "The document as it was published"), jsonBlock(record.event))),
    ),
  );
}

function head(verdict) {
  return h(
    "div",
    { class: "page-head" },
    h("p", { class: "crumbs" }, h("a", { href: "ui" }, "Feed"), " › Verdict"),
    h("h1", {}, said(verdict.category || "no alert type"), " ", h("span", { class: "muted" }, "at ", said(verdict.sensor || "no sensor"))),
    verdict.isPending ? h("span", { class: "state is-waiting" }, "Waiting") : badge(verdict.verdict, { class: "badge is-large" + kindOf(verdict) }),
    h("span", { class: "muted" }, moment(verdict.at)),
  );
}

function kindOf(verdict) {
  const kinds = { confirmed: " is-confirmed", rejected: " is-rejected", "verification-failed": " is-failed" };
  return kinds[verdict.verdict] ?? " is-none";
}

function decision(verdict) {
  return card(
    "How it was decided",
    verdict.reason ? h("p", { class: "lacking" }, h("strong", {}, said(verdict.reason)), " ", said(verdict.detail)) : null,
    facts([
      ["Confidence", confidence(verdict.confidence)],
      ["Arm", verdict.arm],
      ["Model", verdict.model],
      ["Adapter", verdict.adapter],
      ["Prompt", verdict.promptVersion],
      ["Rule", verdict.rule],
      ["Frames", verdict.framesAsked === null ? "" : `${verdict.framesSeen ?? "unknown"} seen of ${verdict.framesAsked} asked for`],
      ["Latency", duration(verdict.latencyMs)],
      ["Attempt", verdict.attempt > 1 ? String(verdict.attempt) : ""],
      ["Decided", verdict.decidedAt ? moment(verdict.decidedAt) : ""],
      ["Id", h("code", {}, said(verdict.id))],
    ]),
    verdict.notes.length ? h("ul", { class: "notes" }, verdict.notes.map((it) => h("li", {}, said(NOTES[it] ?? it)))) : null,
  );
}

function reasoning(verdict) {
  if (!verdict.reasoning && !verdict.description) return null;
  return card(
    "",
    verdict.description ? [h("h2", {}, "Description"), h("p", { class: "prose" }, said(verdict.description))] : null,
    verdict.reasoning ? h("details", {}, h("summary", {}, "The model's reasoning"), h("p", { class: "prose quote" }, said(verdict.reasoning))) : null,
  );
}

function happenings(verdict) {
  if (!verdict.happenings.length) return null;
  return card(
    "What happens when",
    h("ol", { class: "plain" }, verdict.happenings.map((it) => h("li", {}, h("strong", { class: "number" }, `${it.start} to ${it.end} s `), said(it.caption)))),
  );
}

function timeline(known) {
  const from = Math.min(0, ...known.timeline.map((it) => it.afterMs));
  const to = Math.max(1, ...known.timeline.map((it) => it.afterMs));
  let before = from;
  const rows = known.timeline.map((it) => {
    const start = ((before - from) / (to - from)) * 100;
    const width = ((it.afterMs - before) / (to - from)) * 100;
    const took = it.afterMs - before;
    before = it.afterMs;
    return h(
      "li",
      {},
      h("span", {}, said(STAGES[it.stage] ?? it.stage)),
      h("span", { class: "lane", "aria-hidden": "true" }, h("span", { style: { marginLeft: `${Math.min(start, 99)}%`, width: `${Math.max(width, 0.8)}%` } })),
      h("span", { class: "number muted", title: it.at }, it.stage === "accepted" ? moment(it.at) : `+${duration(took)}`),
    );
  });
  const deliveries = known.deliveries.map((it) =>
    h("li", {}, h("strong", {}, said(it.sink)), it.state === "dead" ? " was given up" : " is waiting", h("span", { class: "muted" }, ` after ${it.attempts} ${it.attempts === 1 ? "try" : "tries"}. `), said(it.error)),
  );
  return card(
    "Timeline",
    h("ol", { class: "timeline" }, rows),
    deliveries.length ? [h("h3", {}, "Not delivered"), h("ul", { class: "plain" }, deliveries)] : h("p", { class: "muted" }, "Every delivery was made."),
  );
}

const TRUTHS = [
  [true, "It happened", "Happened"],
  [false, "It did not happen", "Did not happen"],
  [null, "Cannot be told", "Cannot be told"],
];

export function truthWords(truth) {
  return TRUTHS.find(([value]) => value === truth)?.[2] ?? "";
}

function truth(verdict, known, { may, lacking }) {
  const place = h("section", { class: "card" });
  const show = (labels) => {
    const last = labels.findLast((it) => !it.withdrawnBy);
    fill(
      place,
      h("h2", {}, "What really happened"),
      last ? h("p", {}, h("strong", {}, truthWords(last.truth)), h("span", { class: "muted" }, ", says ", said(last.labeller), ", ", moment(last.labelledAt)), last.note ? h("span", {}, ": ", said(last.note)) : null) : h("p", { class: "muted" }, "Nobody said it yet."),
      may("label")
        ? h("div", { class: "actions" }, TRUTHS.map(([value, words]) => h("button", { class: "button is-small", "data-focus": words, "aria-pressed": String(Boolean(last) && last.truth === value), onclick: () => say(value) }, words)))
        : lacking("label"),
      labels.length > 1 || (labels.length && !last) ? h("details", {}, h("summary", {}, `History (${labels.length})`), h("ol", { class: "plain" }, labels.map((it) => h("li", {}, truthWords(it.truth), h("span", { class: "muted" }, ", ", said(it.labeller), ", ", moment(it.labelledAt)), it.note ? [": ", said(it.note)] : null, it.withdrawnBy ? h("span", { class: "chip is-quiet" }, "taken back by ", said(it.withdrawnBy)) : null)))) : null,
    );
  };
  async function say(value) {
    try {
      const found = await put(`verdicts/${enc(verdict.key)}/label`, { truth: value });
      await keepingFocus(place, () => show(found.labels));
      toast(`Kept: ${truthWords(value)}.`, {
        action: { words: "Undo", act: () => del(`verdicts/${enc(verdict.key)}/label`).then((it) => show(it.labels)).catch(failed) },
      });
    } catch (error) {
      failed(error);
    }
  }
  show(known.labels);
  return place;
}

function prompt(known) {
  const { prompt: it } = known;
  if (!it) return card("Prompt", h("p", { class: "muted" }, "No prompt was used."));
  const texts = it.asked
    ? [h("p", { class: "prose quote" }, said(it.asked.user)), it.asked.system ? [h("h3", {}, "System"), h("p", { class: "prose quote" }, said(it.asked.system))] : null]
    : h("p", { class: "muted" }, "This version is not kept any more.");
  const change =
    it.asked && it.current && it.differs
      ? [h("h3", {}, `To version ${it.current.version}, which is in force now`), showDiff(it.asked.user, it.current.user), it.asked.system === it.current.system ? null : showDiff(it.asked.system, it.current.system)]
      : h("p", { class: "muted" }, it.current ? (it.differs ? "" : "The prompt in force now is the same.") : "This alert type is gone.");
  return card(
    "Prompt",
    h("p", { class: "muted" }, h("a", { href: `ui/prompts/${enc(it.alertType)}` }, said(it.alertType)), it.version ? `, version ${it.version}` : ""),
    texts,
    change,
  );
}

function raw(known) {
  return card(
    "",
    h(
      "details",
      {},
      h("summary", {}, `What the model answered, word by word (${known.answers.length})`),
      known.answers.length ? known.answers.map((it) => jsonBlock(it)) : h("p", { class: "muted" }, "Nothing came from the model."),
      known.answersDropped ? h("p", { class: "muted" }, `${known.answersDropped} more had no room.`) : null,
    ),
  );
}

/** Ask again with another arm or prompt. Nothing of it is kept or published. */
function again(verdict, known, { may, lacking }) {
  const place = h("section", { class: "card" });
  if (!may("label")) return fill(place, h("h2", {}, "Ask again"), lacking("label"));
  const arm = h("select", { name: "arm" }, h("option", { value: "" }, "the arm in force"));
  const user = h("textarea", { name: "user", rows: 5, maxlength: 5000, value: known?.prompt?.asked?.user ?? known?.prompt?.current?.user ?? "" });
  const system = h("textarea", { name: "system", rows: 2, maxlength: 5000, value: known?.prompt?.asked?.system ?? "" });
  const given = [user.value, system.value];
  const result = h("div", { "aria-live": "polite" });
  const button = h("button", { class: "button is-primary", type: "submit" }, "Ask again");
  get("arms").then(({ arms }) => arm.append(...arms.map((it) => h("option", { value: it.name }, it.name)))).catch(failed);
  const form = h(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        const isEdited = user.value !== given[0] || system.value !== given[1];
        button.disabled = true;
        fill(result, h("p", { class: "muted" }, "Asking…"));
        try {
          const found = await post(`verdicts/${enc(verdict.key)}/try`, {
            arm: arm.value || null,
            prompt: isEdited ? { user: user.value, system: system.value } : null,
          });
          fill(result, tried(found, verdict));
        } catch (error) {
          fill(result, problem(error));
        }
        button.disabled = false;
      },
    },
    h("label", { class: "field" }, "Arm", arm),
    h("label", { class: "field" }, "Prompt", user),
    h("label", { class: "field" }, "System prompt", system),
    h("div", { class: "actions" }, button),
    result,
  );
  return fill(place, h("h2", {}, "Ask again"), h("p", { class: "muted" }, "A dry run: the answer is shown here, and neither kept nor published."), form);
}

function tried(found, verdict) {
  const outcome = found.verdict ?? found.outcome ?? "";
  const isSame = outcome === verdict.verdict;
  return h(
    "div",
    { class: "tried" },
    h("h3", {}, "The answer now"),
    h("p", {}, badge(outcome), " ", h("span", { class: "muted" }, isSame ? "the same as before" : `before: ${word(verdict.verdict)}`)),
    found.reason ? h("p", { class: "lacking" }, h("strong", {}, said(found.reason)), " ", said(found.detail ?? "")) : null,
    facts([
      ["Arm", found.arm],
      ["Confidence", found.confidence === null || found.confidence === undefined ? "" : percent(found.confidence)],
      ["Latency", duration(found.latencyMs)],
    ]),
    found.reasoning || found.description ? h("p", { class: "prose quote" }, said(found.reasoning || found.description)) : null,
  );
}
