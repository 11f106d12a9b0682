// Verdicts as they come. Filters stand in the address; what arrives is shown once a frame is drawn.

import { follow, get, query } from "./api.js";
import { ago, fill, h, moment, said } from "./dom.js";
import { Thumbnails } from "./frames.js";
import { onKey } from "./keys.js";
import { badge, confidence, empty, failed, latency, problem } from "./parts.js";
import { readVerdict } from "./records.js";

const PAGE = 50;
const MOST_ROWS = 200;
const PERIODS = { "": "Any time", "1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days" };
const PERIOD_S = { "1h": 3600, "24h": 86400, "7d": 604800 };
const OUTCOMES = { "": "Any verdict", confirmed: "Confirmed", rejected: "Rejected", "verification-failed": "Failed" };

const thumbnails = new Thumbnails();

/** What the address asks for. */
function wantedNow() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(["verdict", "category", "sensorId", "arm", "period"].map((it) => [it, given.get(it) ?? ""]));
}

function asked(wanted) {
  const { period, arm, ...rest } = wanted;
  const from = PERIOD_S[period] ? new Date(Date.now() - PERIOD_S[period] * 1000).toISOString() : "";
  return { ...rest, from };
}

class Feed {
  constructor(main) {
    this.wanted = wantedNow();
    this.rows = new Map();
    this.held = [];
    this.arrived = [];
    this.isPaused = false;
    this.isDrawing = false;
    this.cursor = null;
    this.build(main);
  }

  build(main) {
    this.list = h("ol", { class: "feed", "aria-label": "Verdicts, newest first" });
    this.state = h("span", { class: "state is-waiting", role: "status" }, "Connecting");
    this.pause = h("button", { class: "button", "aria-pressed": "false", onclick: () => this.turnPause() }, "Pause");
    this.pill = h("button", { class: "pill", hidden: true, onclick: () => this.showHeld() });
    this.more = h("button", { class: "button", hidden: true, onclick: () => this.loadOlder().catch(failed) }, "Show older");
    this.note = h("div", {});
    this.filters = this.buildFilters();
    fill(
      main,
      h("div", { class: "page-head" }, h("h1", {}, "Feed"), this.state, h("span", { class: "grow" }), this.pause),
      this.filters,
      this.pill,
      this.note,
      this.list,
      h("div", { class: "center" }, this.more),
    );
    onKey("p", "pause, or go on", () => this.turnPause());
    onKey("n", "show what is new", () => this.showHeld());
    onKey("/", "go to the filters", () => this.filters.querySelector("select, input").focus());
    onKey("j", "next verdict", () => this.step(1));
    onKey("k", "previous verdict", () => this.step(-1));
    addEventListener("scroll", () => this.isAtTop() && !this.isPaused && this.draw(), { passive: true });
    setInterval(() => this.age(), 1000);
  }

  buildFilters() {
    const options = (given) => Object.entries(given).map(([value, words]) => h("option", { value }, words));
    const field = (name, label, control) => {
      control.name = name;
      control.value = this.wanted[name];
      return h("label", { class: "field" }, label, control);
    };
    const text = (list) => h("input", { type: "search", maxlength: 256, autocomplete: "off", list });
    this.known = { sensorId: new Set(), category: new Set(), arm: new Set() };
    this.lists = Object.fromEntries(Object.keys(this.known).map((it) => [it, h("datalist", { id: `known-${it}` })]));
    const form = h(
      "form",
      {
        class: "filters",
        role: "search",
        "aria-label": "Filters",
        onsubmit: (event) => event.preventDefault(),
        onchange: () => this.filter(new FormData(form)),
      },
      field("verdict", "Verdict", h("select", {}, options(OUTCOMES))),
      field("category", "Alert type", text("known-category")),
      field("sensorId", "Sensor", text("known-sensorId")),
      field("arm", "Arm", text("known-arm")),
      field("period", "Time", h("select", {}, options(PERIODS))),
      h("button", { class: "button", type: "button", onclick: () => { form.reset(); clear(form); this.filter(new FormData(form)); } }, "Clear"),
      Object.values(this.lists),
    );
    return form;
  }

  filter(data) {
    const values = Object.fromEntries([...data].map(([name, value]) => [name, value.trim()]));
    history.replaceState(null, "", location.pathname + query(values));
    this.wanted = wantedNow();
    this.restart();
  }

  /** Follow from now on, and lay the verdicts before that under it; none falls between. */
  restart() {
    this.stop?.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.clear();
    follow(`verdicts/stream${query(asked(this.wanted))}`, {
      signal,
      take: ({ data }) => this.arrive(JSON.parse(data)),
      opened: (isResumed) => {
        if (!isResumed) this.loadNewest(signal).catch((error) => signal.aborted || this.tell(error));
      },
      state: (word, error) => this.showState(word, error),
    });
  }

  clear() {
    this.rows.clear();
    this.held = [];
    this.arrived = [];
    this.cursor = null;
    this.list.replaceChildren();
    this.more.hidden = true;
    fill(this.note, h("p", { class: "muted" }, "Loading…"));
    this.showPill();
  }

  async loadNewest(signal) {
    const page = await get(`verdicts${query({ ...asked(this.wanted), limit: PAGE })}`, { signal });
    this.cursor = page.nextCursor;
    this.lay(page.verdicts);
  }

  async loadOlder() {
    const page = await get(`verdicts${query({ ...asked(this.wanted), limit: PAGE, cursor: this.cursor })}`);
    this.cursor = page.nextCursor;
    this.room = this.list.children.length + page.verdicts.length;
    this.lay(page.verdicts);
  }

  /** Put verdicts that came before under those that are there. */
  lay(records) {
    const rows = records.map(readVerdict).filter((it) => this.fits(it) && !this.rows.has(it.key));
    this.list.append(...rows.map((it) => this.row(it)));
    this.trim();
    this.more.hidden = !this.cursor;
    this.tellWhenEmpty();
  }

  fits(verdict) {
    return !this.wanted.arm || verdict.arm === this.wanted.arm;
  }

  arrive(record) {
    this.arrived.push(record);
    if (this.arrived.length > MOST_ROWS) this.arrived.shift(); // what nobody would get to see
    this.soon();
  }

  soon() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.draw();
    });
  }

  isAtTop() {
    return scrollY < 160;
  }

  /** Rows do not move under who reads further down, or has the focus on one. */
  isHeld() {
    return this.isPaused || !this.isAtTop() || this.list.contains(document.activeElement);
  }

  draw() {
    const news = this.arrived.map(readVerdict).filter((it) => this.fits(it));
    this.arrived = [];
    if (this.isHeld()) {
      this.held = [...this.held, ...news].slice(-MOST_ROWS);
      this.heldCount = (this.heldCount ?? 0) + news.length;
    } else {
      this.put([...this.held, ...news]);
      this.held = [];
      this.heldCount = 0;
    }
    this.showPill();
  }

  put(verdicts) {
    const fresh = document.createDocumentFragment();
    for (const verdict of verdicts) {
      const known = this.rows.get(verdict.key);
      if (known) this.drop(known);
      fresh.prepend(this.row(verdict));
    }
    this.list.prepend(fresh);
    this.trim();
    this.tellWhenEmpty();
  }

  /** Keep no more rows than there is room for: what was asked for, but not all that ever came. */
  trim() {
    while (this.list.children.length > Math.max(MOST_ROWS, this.room ?? 0)) this.drop(this.list.lastChild);
  }

  drop(row) {
    thumbnails.forget(row);
    this.rows.delete(row.dataset.key);
    row.remove();
  }

  showHeld() {
    document.activeElement?.blur?.();
    scrollTo({ top: 0 });
    this.put(this.held);
    this.held = [];
    this.heldCount = 0;
    this.showPill();
  }

  showPill() {
    this.pill.hidden = !this.heldCount;
    if (this.heldCount) this.pill.textContent = `${this.heldCount} new`;
  }

  turnPause() {
    this.isPaused = !this.isPaused;
    this.pause.setAttribute("aria-pressed", String(this.isPaused));
    this.pause.textContent = this.isPaused ? "Go on" : "Pause";
    this.showState(this.lastState);
    if (!this.isPaused) this.showHeld();
  }

  showState(word, error) {
    this.lastState = word;
    const words = { live: "Live", waiting: "Connection lost; trying again", refused: "Not allowed" };
    const isPaused = this.isPaused && word === "live";
    this.state.className = `state is-${isPaused ? "paused" : word}`;
    this.state.textContent = isPaused ? "Paused" : words[word];
    if (error) this.tell(error);
  }

  tell(error) {
    fill(this.note, problem(error, () => this.restart()));
  }

  tellWhenEmpty() {
    if (this.list.children.length) fill(this.note);
    else if (Object.values(this.wanted).some(Boolean)) fill(this.note, empty("No verdict fits these filters.", "New ones appear here as they are decided."));
    else fill(this.note, empty("No verdict yet.", "Events come by Kafka, Redis Streams, gRPC or POST /api/v1/incidents; each appears here as it is decided."));
  }

  step(by) {
    const links = [...this.list.querySelectorAll(".feed-link")];
    const now = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, now + by))]?.focus();
  }

  age() {
    const now = Date.now();
    for (const it of this.list.querySelectorAll(".age")) {
      const words = ago(it.dateTime, now);
      if (it.textContent !== words) it.textContent = words;
    }
  }

  row(verdict) {
    this.learn(verdict);
    const row = h(
      "li",
      { class: "feed-row", "data-key": verdict.key },
      thumbnails.make(verdict.key),
      h(
        "div",
        { class: "feed-what" },
        h(
          "a",
          { class: "feed-link", href: `ui/verdicts/${encodeURIComponent(verdict.key)}` },
          badge(verdict.verdict),
          h("span", { class: "feed-type" }, said(verdict.category || "no alert type")),
        ),
        h("div", { class: "feed-where" }, said(verdict.sensor || "no sensor"), " · ", moment(verdict.at)),
        h("div", { class: "feed-why" }, said(summary(verdict))),
      ),
      h(
        "dl",
        { class: "feed-facts" },
        fact("Confidence", confidence(verdict.confidence)),
        fact("Arm", said(verdict.arm || "–")),
        fact("Latency", latency(verdict.latencyMs)),
        fact("Age", h("time", { class: "age number", datetime: verdict.decidedAt ?? "", title: `Decided ${verdict.decidedAt}` }, ago(verdict.decidedAt))),
      ),
    );
    this.rows.set(verdict.key, row);
    return row;
  }

  learn(verdict) {
    for (const [name, value] of [["sensorId", verdict.sensor], ["category", verdict.category], ["arm", verdict.arm]]) {
      const known = this.known[name];
      if (!value || known.has(value) || known.size >= 200) continue;
      known.add(value);
      this.lists[name].append(h("option", { value }));
    }
  }
}

function clear(form) {
  for (const control of form.querySelectorAll("input, select")) control.value = "";
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function summary(verdict) {
  const words = verdict.reason ? `${verdict.reason}: ${verdict.detail}` : verdict.reasoning || verdict.description;
  return words.length > 180 ? `${words.slice(0, 180)}…` : words;
}

export async function open(main) {
  new Feed(main).restart();
}
