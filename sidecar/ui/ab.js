// Which arms answer, how they do, and changing that.

import { get, maybe, put, query } from "./api.js";
import { duration, estimate, fill, h, moment, plural, said } from "./dom.js";
import { showSummary, signed } from "./disagreements.js";
import { confirm, empty, facts, intervals, keepingFocus, problem, table, toast } from "./parts.js";
import { checks, firstSentence, showGate } from "./gate.js";
import { armsOf, policyWords } from "./policy.js";

const HISTORY = 10;

class Arms {
  constructor(main, context) {
    this.context = context;
    this.now = h("section", { class: "card" });
    this.cards = h("div", { class: "tiles" });
    this.change = h("section", { class: "card" });
    this.gate = h("section", { class: "card" });
    this.past = h("section", { class: "card" });
    fill(
      main,
      h("div", { class: "page-head" }, h("h1", {}, "A/B")),
      h("div", { class: "stack" }, h("div", { class: "two" }, h("div", { class: "stack" }, this.now, this.past), this.change), this.cards, this.gate),
    );
  }

  async load() {
    const [current, history] = await Promise.all([get("arms"), get(`arms/history${query({ limit: HISTORY })}`)]);
    this.current = current;
    this.showNow();
    this.showArms();
    this.showChange();
    this.showPast(history);
    await this.showGate();
  }

  showNow() {
    const { current } = this;
    fill(
      this.now,
      h("h2", {}, "In force"),
      h("ul", { class: "plain sentences" }, policyWords(current.policy).map((it) => h("li", {}, said(it)))),
      h("p", { class: "muted" }, `Version ${current.version}, since `, moment(current.chosenAt), ", by ", said(current.actor), current.reason ? [": ", said(current.reason)] : null),
    );
  }

  showArms() {
    fill(
      this.cards,
      this.current.arms.map((arm) =>
        h(
          "section",
          { class: "card", "aria-label": `Arm ${arm.name}` },
          h("h2", {}, said(arm.name), " ", role(arm)),
          h("p", {}, h("span", { class: `state is-${arm.problem ? "bad" : "ok"}` }, arm.problem ? "Cannot work" : "Works"), arm.problem ? h("span", {}, ": ", said(arm.problem)) : null),
          facts([
            ["Model", arm.model || "not known yet"],
            ["Adapter", arm.adapter],
            ["Nearly every answer within", arm.typicalSeconds === null || arm.typicalSeconds === undefined ? "none so far" : duration(arm.typicalSeconds * 1000)],
          ]),
          arm.endpoints.length
            ? h("ul", { class: "plain endpoints" }, arm.endpoints.map((it) => h("li", {}, h("span", { class: `state is-${it.problem || it.leftOut ? "warn" : "ok"}` }, said(it.url)), h("span", { class: "muted" }, ` ${it.inFlight} in flight`), it.leftOut ? h("span", { class: "chip" }, "left out") : null, it.problem ? h("div", { class: "muted" }, said(it.problem)) : null)))
            : null,
        ),
      ),
    );
  }

  showChange() {
    const { may, lacking } = this.context;
    fill(this.change, h("h2", {}, "Change"));
    if (!may("admin")) {
      this.change.append(lacking("admin"));
      return;
    }
    const { arms, policy, primary } = this.current;
    const names = arms.map((it) => it.name);
    const rule = policy.rules?.[0]?.use;
    const weights = rule?.kind === "weighted" ? rule.weights : {};
    const kind = primary || (policy.rules?.length === 1 && (typeof rule === "string" || rule?.kind === "fixed")) ? "one" : rule?.kind === "weighted" && policy.rules.length === 1 ? "split" : "policy";
    const radio = (value, words) => h("label", { class: "radio" }, h("input", { type: "radio", name: "kind", value, checked: kind === value, onchange: () => choose() }), words);
    const one = h("select", { name: "one" }, names.map((it) => h("option", { value: it }, it)));
    one.value = policy.rules?.at(-1)?.use?.arm ?? (typeof rule === "string" ? rule : names[0]);
    const parts = names.map((it) => h("label", { class: "field" }, it, h("input", { type: "number", name: `weight ${it}`, min: 0, max: 100, step: 1, "data-arm": it, value: Math.round((weights[it] ?? 0) * (Object.values(weights).some((w) => w > 1) ? 1 : 100)) })));
    const shadow = h("select", { name: "shadow" }, h("option", { value: "" }, "none"), names.map((it) => h("option", { value: it }, it)));
    shadow.value = policy.shadow?.arm ?? "";
    const share = h("input", { type: "number", name: "share", min: 0, max: 100, step: 1, value: Math.round((policy.shadow?.share ?? 1) * 100) });
    const text = h("textarea", { name: "policy", rows: 12, class: "mono", spellcheck: "false", value: JSON.stringify(policy, null, 2) });
    const told = h("div", { "aria-live": "polite" });
    const shadows = h("div", { class: "weights" }, h("label", { class: "field" }, "Shadow arm", shadow), h("label", { class: "field" }, "Asked about, in %", share));
    const bodies = {
      one: h("label", { class: "field" }, "Arm", one),
      split: h("div", {}, h("p", { class: "muted" }, "In percent; all events of one sensor go to one arm."), h("div", { class: "weights" }, parts)),
      policy: h("label", { class: "field" }, "Policy, as docs/ab.md describes it", text),
    };
    const body = h("div", {});
    const form = h(
      "form",
      { onsubmit: (event) => { event.preventDefault(); propose(); } },
      h("fieldset", {}, h("legend", {}, "What shall answer"), radio("one", "One arm answers everything"), radio("split", "Sensors are divided among arms"), radio("policy", "A policy with rules")),
      body,
      shadows,
      told,
      h("div", { class: "actions" }, h("button", { class: "button is-primary", type: "submit" }, "Change…")),
    );

    function chosen() {
      return new FormData(form).get("kind");
    }
    function choose() {
      fill(body, bodies[chosen()]);
      shadows.hidden = chosen() === "policy";
    }
    const wanted = () => {
      if (chosen() === "policy") return JSON.parse(text.value);
      const fields = parts.map((it) => it.querySelector("input"));
      const use = chosen() === "one" ? one.value : { kind: "weighted", weights: Object.fromEntries(fields.filter((it) => Number(it.value)).map((it) => [it.dataset.arm, Number(it.value)])) };
      const kept = policy.fallback ? { fallback: policy.fallback } : {};
      const aside = shadow.value ? { shadow: { ...(policy.shadow ?? {}), arm: shadow.value, share: Number(share.value) / 100 } } : {};
      return { rules: [{ use }], ...kept, ...aside };
    };
    const propose = async () => {
      fill(told);
      let next;
      try {
        next = wanted();
      } catch (error) {
        fill(told, problem({ message: `The policy is not valid JSON: ${error.message}` }));
        return;
      }
      await this.put({ policy: next }, policyWords(next), armsOf(next), told);
    };
    choose();
    this.change.append(form);
  }

  /** Ask whether it shall be done, do it, and offer to insist where a server is away. */
  async put(body, words, names, told) {
    const away = this.current.arms.filter((it) => names.has(it.name) && it.problem);
    const reason = await confirm({
      title: "Change which arms answer?",
      words: [
        ...words.map((it) => said(it)),
        "Events that were begun keep their arms; none is lost.",
        ...away.map((it) => said(`${it.name} cannot work now: ${it.problem}`)),
      ],
      action: "Put in force",
    });
    if (reason === null) return;
    try {
      await this.send({ ...body, reason, version: this.current.version });
    } catch (error) {
      if (error.reason !== "arm_not_usable" && !/force/.test(error.message)) {
        fill(told, problem(error));
        return;
      }
      const insists = await confirm({
        title: "Do it although a server is away?",
        words: [said(error.message), "Until the server is back its events wait, and fail when their deadline passes."],
        action: "Put in force all the same",
        wantsReason: false,
        isDangerous: true,
      });
      if (insists === null) return;
      await this.send({ ...body, reason, version: this.current.version, force: true }).catch((again) => fill(told, problem(again)));
    }
  }

  async send(body) {
    const found = await put("arms", body);
    toast(`Version ${found.version} is in force.`);
    await keepingFocus(this.now, () => this.load());
  }

  showPast({ choices }) {
    const rows = choices.map((it) => [
      h("span", { class: "number" }, `${it.version}`),
      [h("div", {}, said(policyWords(it.policy)[0])), policyWords(it.policy).slice(1).map((line) => h("div", { class: "muted" }, said(line)))],
      [h("div", {}, said(it.actor)), h("div", { class: "muted" }, moment(it.chosenAt))],
      said(it.reason || "–"),
      it.version === this.current.version
        ? h("span", { class: "chip" }, "in force")
        : this.context.may("admin")
          ? h("button", { class: "button is-small", "aria-label": `Roll back to version ${it.version}`, onclick: () => this.rollBack(it) }, "Roll back")
          : null,
    ]);
    fill(this.past, h("h2", {}, "History"), table(["Version", "What", "Who and when", "Why", ""], rows, { caption: "What was in force" }));
  }

  async rollBack(choice) {
    const told = h("div", {});
    await this.put({ restore: choice.version }, policyWords(choice.policy), armsOf(choice.policy), told);
    if (told.firstChild) this.past.prepend(told);
  }

  async showGate() {
    const heading = h("h2", {}, "How they compare");
    fill(this.gate, heading, h("p", { class: "muted" }, "Loading…"));
    try {
      const [summary, gate] = await Promise.all([get("ab/summary"), maybe("ab/gate")]);
      fill(this.gate, heading, gate ? showGate(gate, this.current, { may: this.context.may, changed: () => this.load() }) : null, compared(summary, gate?.promotion?.candidate));
    } catch (error) {
      fill(this.gate, heading, problem(error));
    }
  }
}

function role(arm) {
  const words = [arm.lead ? "leads" : arm.answers ? "answers" : "", arm.shadow ? "shadow" : ""].filter(Boolean);
  return words.length ? words.map((it) => h("span", { class: "chip" }, it)) : h("span", { class: "chip is-quiet" }, "not asked");
}

function compared(summary, promoted) {
  if (!summary.pairs.length) return empty("Nothing to compare yet.", "Let a second arm answer in the shadow, or divide the sensors, and both are compared here.");
  return [
    h("h3", {}, "Single arms"),
    table(
      ["Arm", "Asked", "Confirms", "Fails", "Latency p50", "p95"],
      summary.arms.map((it) => [
        said(it.name),
        h("span", { class: "number" }, it.asked.toLocaleString("en")),
        h("span", { class: "number" }, estimate(it.confirms)),
        h("span", { class: "number" }, estimate(it.failed)),
        h("span", { class: "number" }, duration(it.latencyMs.p50.value)),
        h("span", { class: "number" }, duration(it.latencyMs.p95.value)),
      ]),
      { caption: "Arms by themselves" },
    ),
    summary.pairs.map((it) => [
      h("h3", {}, said(it.candidate), " beside ", said(it.reference), h("span", { class: "muted" }, `, ${plural(it.compared, "event")} compared`)),
      intervals(
        [{ name: "They agree", number: it.agreement }],
        { from: 0, to: 1, label: "Agreement", write: (number) => estimate(number) },
      ),
      intervals(
        [
          { name: "Confirms more often", number: it.confirmsDifference },
          { name: "Is right more often", number: it.accuracyDifference },
        ],
        { from: -1, to: 1, mark: 0, label: "Differences", write: signed },
      ),
      it.gate && it.candidate !== promoted ? h("div", { class: "gate" }, h("p", {}, badgeOf(it.gate), " ", said(firstSentence(it.gate))), checks(it.gate.checks)) : null,
      it.conclusion.length ? h("ul", { class: "notes" }, it.conclusion.filter((line) => !line.startsWith("Promotion gate")).map((line) => h("li", {}, said(line)))) : null,
    ]),
    h("h3", {}, "By labels"),
    showSummary(summary),
  ];
}

function badgeOf(gate) {
  return h("span", { class: "chip" }, gate.action === "recommend" ? "recommends it" : "waits");
}

export async function open(main, context) {
  await new Arms(main, context).load();
}
