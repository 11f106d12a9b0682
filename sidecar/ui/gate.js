// The promotion gate: where the promotion of an arm stands, beginning one and ending it.

import { because, del, put } from "./api.js";
import { fill, h, moment, percent, plural, said } from "./dom.js";
import { confirm, problem, toast } from "./parts.js";

const STAGES = {
  observing: "Observing",
  canary: "Answers a share",
  promoted: "Promoted",
  "rolled-back": "Taken back",
};
const ACTIONS = { wait: "waits", recommend: "recommends it", advance: "goes on", "roll-back": "takes it back" };

/** Show the conditions of the gate, each with whether it is met. */
export function checks(found) {
  if (!found.length) return null;
  return h(
    "ul",
    { class: "plain checks" },
    found.map((it) =>
      h("li", {}, h("span", { class: `state is-${it.breached ? "bad" : it.passed ? "ok" : "waiting"}` }, it.breached ? "Breached" : it.passed ? "Met" : "Open"), " ", said(it.words || it.name)),
    ),
  );
}

/** The first sentence of what the gate says; its conditions follow in a list. */
export function firstSentence({ words, checks: found }) {
  return found.length ? words.split(/(?<=\.) /)[0] : words;
}

/** Show the shares that a candidate gets one after the other, and which it has. */
function steps(rules, promotion) {
  const shares = [0, ...rules.shares];
  return h(
    "ol",
    { class: "steps", "aria-label": "Shares of the events" },
    shares.map((share) => {
      const isNow = Math.abs(share - promotion.share) < 1e-9;
      const kind = isNow ? "is-now" : share < promotion.share ? "is-past" : "";
      return h("li", { class: kind, "aria-current": isNow ? "step" : null }, h("span", { class: "step-bar", "aria-hidden": "true" }), share === 0 ? "Observing" : percent(share));
    }),
  );
}

/**
 * Show the gate's state.
 *
 * `current` is what is in force; `changed()` is called after a promotion was begun or ended.
 */
export function showGate(gate, current, { may, changed }) {
  const told = h("div", {});
  const { promotion, look, rules } = gate;
  const acts = gate.acts ? "It acts by itself: it gives a candidate its share step by step, and takes it back when something breaks." : "It recommends, and changes nothing by itself (SIDECAR_AB__GATE__ACTS).";
  if (!promotion) {
    return h(
      "div",
      { class: "gate" },
      h("h3", {}, "Promotion gate"),
      h("p", {}, "No arm is being promoted. ", h("span", { class: "muted" }, acts)),
      may("admin") ? begin(current, gate, told, changed) : null,
      told,
    );
  }
  return h(
    "div",
    { class: "gate" },
    h("h3", {}, "Promotion gate: ", said(promotion.candidate), " in the place of ", said(promotion.reference)),
    h("p", {}, h("span", { class: "chip" }, STAGES[promotion.stage] ?? promotion.stage), " ", said(promotion.words)),
    steps(rules, promotion),
    look
      ? [
          h("p", {}, "By what is known now it ", h("strong", {}, ACTIONS[look.action] ?? look.action), ". ", h("span", { class: "muted" }, `${plural(look.labelled, "label")}, ${plural(look.atShare, "event")} at this share; looked at `, moment(look.lookedAt), ".")),
          checks(look.checks),
        ]
      : null,
    h("p", { class: "muted" }, acts),
    may("admin") ? h("div", { class: "actions" }, h("button", { class: "button", onclick: () => end(promotion, told, changed) }, "End the promotion…")) : null,
    told,
  );
}

function begin(current, gate, told, changed) {
  const lead = current.arms.find((it) => it.lead)?.name;
  const others = current.arms.filter((it) => it.name !== lead).map((it) => it.name);
  if (!lead || !others.length) return null;
  const candidate = h("select", { name: "candidate" }, others.map((it) => h("option", { value: it }, it)));
  candidate.value = current.arms.find((it) => it.shadow)?.name ?? others[0];
  const propose = async (event) => {
    event.preventDefault();
    const reason = await confirm({
      title: `Promote ${candidate.value}?`,
      words: [
        said(`From now on ${candidate.value} is asked about the events of ${lead} as well.`),
        gate.acts ? "When the evidence suffices it answers a share of them, which grows step by step." : "When the evidence suffices the gate recommends it; nothing is switched by itself.",
        "It can be ended at any time; then what is in force now is in force again.",
      ],
      action: "Begin",
    });
    if (reason === null) return;
    await done(put("ab/gate", { candidate: candidate.value, reason, version: gate.version }), "The promotion has begun.", told, changed);
  };
  return h(
    "form",
    { class: "row", onsubmit: propose },
    h("label", {}, "Candidate ", h("span", { class: "field inline" }, candidate)),
    h("button", { class: "button", type: "submit" }, "Promote…"),
  );
}

async function end(promotion, told, changed) {
  const reason = await confirm({
    title: "End the promotion?",
    words: [said(`${promotion.candidate} gets no share any more; what was in force before it is in force again.`), "What was learned about it is kept."],
    action: "End it",
    isDangerous: true,
  });
  if (reason === null) return;
  await done(del("ab/gate", { headers: because(reason) }), "The promotion has ended.", told, changed);
}

async function done(change, words, told, changed) {
  try {
    await change;
    toast(words);
    await changed();
  } catch (error) {
    fill(told, problem(error));
  }
}
