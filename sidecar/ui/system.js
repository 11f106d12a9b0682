// Whether the service keeps up: queues, endpoints, sinks, what was given up, and what check says.

import { because, enc, get, post, query } from "./api.js";
import { duration, fill, h, moment, plural, said, span } from "./dom.js";
import { badge, card, confirm, empty, facts, failed, keepingFocus, problem, table, toast } from "./parts.js";

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
      mayReplay ? h("button", { class: "button is-small", "aria-label": `Deliver again: ${it.eventId} to ${it.sink}`, onclick: () => this.replay(it) }, "Deliver again") : null,
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
      await keepingFocus(this.place, () => this.load());
    } catch (error) {
      failed(error);
      await this.load().catch(failed);
    }
  }
}

class State {
  constructor() {
    this.place = h("div", { class: "stack" });
    this.unfolded = new Set();
    this.asked = h("span", { class: "muted", role: "status" });
  }

  async load() {
    const system = await get("system");
    fill(this.place, this.top(system), this.arms(system), h("div", { class: "two even" }, sinks(system), findings(system)), density(system.density));
    this.asked.textContent = `version ${system.version}, up for ${span(system.uptimeS)}`;
  }

  /** Look again from time to time, unless nobody looks, or somebody is at work in it. */
  keep() {
    setInterval(() => {
      if (document.hidden || this.place.contains(document.activeElement)) return;
      this.load().catch(() => {
        this.asked.textContent = "The service does not answer; asking again.";
      });
    }, EVERY_MS);
  }

  top(system) {
    const { queue, decided } = system;
    const failing = system.parts.filter((it) => it.problem);
    const failures = Object.entries(decided.failed).sort((a, b) => b[1] - a[1]);
    const failedCount = failures.reduce((sum, [, count]) => sum + count, 0);
    return h(
      "div",
      { class: "tiles" },
      card(
        "Ready",
        h("p", {}, h("span", { class: `state is-${system.ready ? (failing.length ? "warn" : "ok") : "bad"}` }, system.ready ? (failing.length ? "Ready, with problems" : "Ready") : "Not ready")),
        failing.length
          ? h("ul", { class: "plain" }, failing.map((it) => h("li", {}, h("strong", {}, said(it.name)), ": ", said(it.problem))))
          : h("p", { class: "muted" }, `${plural(system.parts.length, "part")} work: ${system.parts.map((it) => it.name).join(", ")}.`),
      ),
      card(
        "Queue",
        facts([
          ["Undecided", count(queue.undecided)],
          ["In line here", count(queue.queued)],
          ["In flight", [count(queue.inFlight), " of ", count(queue.places), " places"]],
        ]),
        queue.sensors.length ? [h("h3", {}, "Longest lines"), h("ul", { class: "plain" }, queue.sensors.map((it) => h("li", { class: "spread" }, said(it.sensorId || "no sensor"), h("span", { class: "number" }, count(it.waiting)))))] : null,
      ),
      card(
        "Decided since the start",
        facts([
          ["In all", count(decided.total)],
          ["Confirmed", count(decided.confirmed)],
          ["Rejected", count(decided.rejected)],
          ["Failed", count(failedCount)],
          ["Deadline missed", count(decided.deadlineMisses)],
          ["Refused by load", count(decided.shed)],
        ]),
        failures.length ? h("ul", { class: "plain reasons" }, failures.map(([reason, times]) => h("li", { class: "spread" }, h("code", {}, said(reason)), h("span", { class: "number" }, count(times))))) : null,
      ),
    );
  }

  arms(system) {
    return card(
      "Arms and their servers",
      system.arms.map((arm) => [
        h("h3", {}, said(arm.name), " ", [arm.lead ? "leads" : arm.answers ? "answers" : "", arm.shadow ? "shadow" : ""].filter(Boolean).map((it) => h("span", { class: "chip" }, it)), h("span", { class: "muted" }, " ", said(arm.model))),
        arm.problem ? h("p", { class: "lacking" }, said(arm.problem)) : null,
        table(
          ["Server", "State", "In flight", "Answers p50", "p95", "What was found out about it"],
          arm.endpoints.map((it) => [said(it.url), breaker(it), flight(it), duration(it.latency.p50Ms), duration(it.latency.p95Ms), this.dialect(arm, it)]),
          { caption: `Servers of ${arm.name}` },
        ),
      ]),
    );
  }

  dialect(arm, endpoint) {
    if (!endpoint.dialect.length) return h("span", { class: "muted" }, "not asked yet");
    const key = `${arm.name} ${endpoint.url}`;
    const details = h(
      "details",
      { open: this.unfolded.has(key), ontoggle: () => (details.open ? this.unfolded.add(key) : this.unfolded.delete(key)) },
      h("summary", {}, plural(endpoint.dialect.length, "fact")),
      h("dl", { class: "facts is-list" }, endpoint.dialect.map((it) => h("div", {}, h("dt", {}, said(it.name)), h("dd", {}, said(it.value), it.meaning ? h("div", { class: "muted" }, said(it.meaning)) : null)))),
    );
    return details;
  }
}

const STATES = { closed: ["ok", "gets requests"], open: ["bad", "left out"], trial: ["warn", "one at a time"] };

/** What is being answered, of what may be at the same time, and what waits for that. */
function flight(endpoint) {
  return [count(endpoint.inFlight), " of ", count(endpoint.limit), endpoint.waiting ? h("div", { class: "muted" }, count(endpoint.waiting), " waiting") : null];
}

function breaker(endpoint) {
  const [kind, words] = STATES[endpoint.state] ?? ["warn", endpoint.state];
  return [
    h("span", { class: `state is-${kind}` }, words),
    endpoint.failures ? h("div", { class: "muted" }, `${plural(endpoint.failures, "failure")} in a row`) : null,
    endpoint.problem ? h("div", { class: "muted" }, said(endpoint.problem)) : null,
  ];
}

function sinks(system) {
  return card(
    "Sinks",
    system.sinks.length
      ? h("ul", { class: "plain" }, system.sinks.map((it) => h("li", {}, h("span", { class: `state is-${it.problem ? "bad" : "ok"}` }, said(it.name)), h("span", { class: "muted" }, " ", count(it.waiting), " waiting"), it.problem ? h("div", { class: "muted" }, said(it.problem)) : null)))
      : h("p", { class: "muted" }, "Verdicts are kept here and go nowhere else."),
  );
}

function findings(system) {
  const found = system.findings;
  return card(
    "What sidecar check finds",
    found === null
      ? h("p", { class: "muted" }, "Nobody looked at the settings of this service.")
      : found.length
        ? h("ul", { class: "plain" }, found.map((it) => h("li", {}, h("span", { class: `state is-${/error|danger/.test(it.severity) ? "bad" : "warn"}` }, said(it.severity)), " ", it.setting ? h("code", {}, said(it.setting)) : null, h("div", {}, said(it.text)))))
        : h("p", { class: "muted" }, "Nothing: the settings are in order."),
  );
}

/** The last density run, where the service knows of one. */
function density(run) {
  if (!run) return null;
  if (run.problem) return card("Density", h("p", { class: "muted" }, said(run.problem)));
  const words = [["Scenario", run.scenario], ["Through", run.target]];
  if (run.streams !== null) {
    words.push(["Most streams in time", count(run.streams)]);
    if (run.planning !== null) words.push(["Plan with", count(run.planning)]);
    if (run.failedAt !== null) words.push([`Broken at ${run.failedAt} by`, run.binding.join(", ") || "–"]);
  } else if (run.offered !== null) {
    words.push(["Streams offered", count(run.offered)], ["Promise", run.passed ? "kept" : `broken by ${run.binding.join(", ") || "the load"}`]);
  }
  if (run.p95S !== null) words.push(["p95 of the last load", `${run.p95S.toFixed(1)} s`]);
  if (run.at) words.push(["When", new Date(run.at).toLocaleString()]);
  return card("Density of the last run", facts(words.map(([name, value]) => [name, typeof value === "string" ? said(value) : value])));
}

function count(value) {
  return h("span", { class: "number" }, Number(value).toLocaleString("en"));
}

export async function open(main, context) {
  const state = new State();
  const letters = new DeadLetters(context);
  fill(main, h("div", { class: "page-head" }, h("h1", {}, "System"), state.asked), h("div", { class: "stack" }, state.place, letters.place));
  await Promise.all([
    state.load().catch((error) => fill(state.place, problem(error, () => state.load().catch(failed)))),
    letters.load().catch((error) => letters.place.append(problem(error))),
  ]);
  state.keep();
}
