// The prompts of alert types: edit, try on past events, publish, go back.

import { because, enc, get, lines, pageAddress, post, put } from "./api.js";
import { fill, h, moment, plural, said } from "./dom.js";
import { showDiff } from "./diff.js";
import { badge, card, confirm, empty, keepingFocus, problem, table, toast } from "./parts.js";

const FIELDS = [
  ["user", "Prompt", 7],
  ["system", "System prompt", 3],
];

class Editor {
  constructor(place, alertType, context) {
    this.place = place;
    this.alertType = alertType;
    this.context = context;
  }

  get path() {
    return `prompts/${enc(this.alertType)}`;
  }

  async load() {
    const [current, past] = await Promise.all([get(this.path), get(`${this.path}/versions`)]);
    this.current = current;
    this.past = past.versions;
    this.edits = this.context.may("admin") ? await editsOf(this.alertType) : new Map();
    this.show();
  }

  show() {
    const { may, lacking } = this.context;
    const mayEdit = may("admin");
    this.fields = Object.fromEntries(
      FIELDS.map(([name, , rows]) => [name, h("textarea", { name, rows, maxlength: 5000, spellcheck: "true", readonly: !mayEdit, value: textOf(this.current, name), oninput: () => this.changed() })]),
    );
    this.change = h("div", {});
    this.tried = h("div", { "aria-live": "polite" });
    this.publish = h("button", { class: "button is-primary", type: "submit" }, "Publish…");
    this.undo = h("button", { class: "button", type: "button", onclick: () => this.take(this.current) }, "Discard");
    this.last = h("input", { type: "number", name: "last", min: 1, max: 50, value: 10, class: "plain-input is-short" });
    this.tryButton = h("button", { class: "button", type: "button", onclick: () => this.tryOut() }, "Try");
    const form = h(
      "form",
      { class: "card", onsubmit: (event) => { event.preventDefault(); this.put(); } },
      h("h2", {}, said(this.alertType), " ", h("span", { class: "chip" }, `version ${this.current.version}`)),
      FIELDS.map(([name, label]) => h("label", { class: "field" }, label, this.fields[name])),
      this.change,
      mayEdit ? h("div", { class: "actions" }, this.publish, this.undo) : lacking("admin"),
    );
    const trying = h(
      "section",
      { class: "card" },
      h("h2", {}, "Try it first"),
      h("p", { class: "muted" }, "Asks about the last clips of this type again and compares with the current version and with what people said. Nothing is published."),
      may("label") ? h("div", { class: "row" }, h("label", {}, "Last ", this.last, " clips"), this.tryButton) : lacking("label"),
      this.tried,
    );
    fill(this.place, h("div", { class: "stack" }, form, trying, this.versions()));
    this.changed();
  }

  text() {
    return Object.fromEntries(FIELDS.map(([name]) => [name, this.fields[name].value]));
  }

  isChanged() {
    return FIELDS.some(([name]) => this.fields[name].value !== textOf(this.current, name));
  }

  changed() {
    const isChanged = this.isChanged();
    this.publish.disabled = !isChanged;
    this.undo.disabled = !isChanged;
    fill(
      this.change,
      isChanged
        ? [h("h3", {}, "What changes"), FIELDS.map(([name, label]) => (this.fields[name].value === textOf(this.current, name) ? null : showDiff(textOf(this.current, name), this.fields[name].value, { label })))]
        : null,
    );
  }

  take(version) {
    for (const [name] of FIELDS) this.fields[name].value = textOf(version, name);
    this.changed();
    this.fields.user.focus();
  }

  async put() {
    if (!this.isChanged()) return;
    const reason = await confirm({
      title: `Publish a new prompt for ${this.alertType}?`,
      words: ["Events that are taken up from now on are asked with it.", "Verdicts that are there keep naming the version that they were asked with.", `Version ${this.current.version} can be put back at any time.`],
      action: "Publish",
    });
    if (reason === null) return;
    const headers = { "If-Match": `"${this.current.version}"`, ...because(reason) };
    await this.after(put(this.path, this.text(), { headers }), "is in force");
  }

  async rollBack(version) {
    const reason = await confirm({
      title: `Put version ${version.version} back?`,
      words: [`Its text becomes a new version; ${plural(this.past.length, "version")} stay in the history.`, "Events that are taken up from now on are asked with it."],
      action: "Roll back",
    });
    if (reason === null) return;
    const headers = { "If-Match": `"${this.current.version}"`, ...because(reason) };
    await this.after(post(`${this.path}/rollback`, { version: version.version }, { headers }), "is in force");
  }

  async after(change, words) {
    try {
      const found = await change;
      toast(`Version ${found.version} ${words}.`);
      await keepingFocus(this.place, () => this.load());
    } catch (error) {
      fill(this.change, problem(error));
    }
  }

  versions() {
    const mayEdit = this.context.may("admin");
    return card(
      "Versions",
      h(
        "ol",
        { class: "versions" },
        this.past.map((it, place) => {
          const before = this.past[place + 1];
          const edit = this.edits.get(it.version);
          const isCurrent = it.version === this.current.version;
          return h(
            "li",
            {},
            h(
              "div",
              { class: "row" },
              h("strong", {}, `Version ${it.version}`),
              isCurrent ? h("span", { class: "chip" }, "in force") : null,
              h("span", { class: "muted" }, moment(it.updatedAt), edit ? [", by ", said(edit.actor)] : null, edit?.reason ? [": ", said(edit.reason)] : null),
              h("span", { class: "grow" }),
              mayEdit && !isCurrent ? h("button", { class: "button is-small", "aria-label": `Roll back to version ${it.version}`, onclick: () => this.rollBack(it) }, "Roll back") : null,
            ),
            before ? h("details", {}, h("summary", {}, `What changed since version ${before.version}`), FIELDS.map(([name, label]) => (textOf(before, name) === textOf(it, name) ? null : showDiff(textOf(before, name), textOf(it, name), { label })))) : null,
          );
        }),
      ),
    );
  }

  async tryOut() {
    const rows = [];
    let summary = null;
    this.tryButton.disabled = true;
    fill(this.tried, h("p", { class: "muted" }, "Asking…"));
    try {
      const body = { prompt: this.text(), last: Number(this.last.value) || 10 };
      await lines("POST", `${this.path}/try`, { body }, (line) => {
        if (line.kind === "summary") summary = line;
        else rows.push(line);
        const { done, of } = line;
        if (done) fill(this.tried, h("p", { class: "muted" }, `${done} of ${of} asked…`), clips(rows));
      });
      fill(this.tried, summary ? tally(summary) : null, rows.length ? clips(rows) : null);
    } catch (error) {
      fill(this.tried, problem(error), rows.length ? clips(rows) : null);
    }
    this.tryButton.disabled = false;
  }
}

function textOf(version, name) {
  return version?.[name] ?? "";
}

/** Find who made which version and why; the audit trail keeps it. */
async function editsOf(alertType) {
  const { entries } = await get("audit?limit=1000");
  const own = entries.filter((it) => it.action.startsWith("alert_config.") && it.target === alertType && it.after);
  return new Map(own.map((it) => [it.after.version, it]));
}

function tally(summary) {
  const { of, tried, skipped, compared, agreed, labelled, currentRight, triedRight } = summary;
  if (!of) return empty("There is no verdict of this type yet.", "Nothing can be asked again.");
  const without = tried - compared;
  return h(
    "div",
    { class: "gate" },
    h("p", {}, h("strong", {}, `The same as version ${summary.version} on ${agreed} of ${plural(compared, "clip")}.`)),
    labelled
      ? h("p", {}, `Of ${plural(labelled, "clip")} with a label, the new prompt is right on ${triedRight} and version ${summary.version} on ${currentRight}.`)
      : h("p", { class: "muted" }, "None of these clips has a label, so nobody can tell which is right where they differ."),
    without ? h("p", {}, `On ${plural(without, "clip")} one of them gave no verdict.`) : null,
    skipped ? h("p", {}, `${plural(skipped, "event")} could not be asked about again.`) : null,
  );
}

function clips(rows) {
  return table(
    ["Event", "In force", "New", "Really", ""],
    rows.map((it) =>
      it.kind === "skipped"
        ? [eventLink(it), said(it.reason), "", "", h("span", { class: "chip is-quiet" }, "left out")]
        : [
            eventLink(it),
            badge(it.current.verdict),
            badge(it.tried.verdict),
            it.label === null ? h("span", { class: "muted" }, "no label") : it.label ? "happened" : "did not happen",
            it.agrees === false ? h("span", { class: "chip" }, "differs") : "",
          ],
    ),
    { caption: "Clips that were asked about again" },
  );
}

function eventLink(line) {
  return h("a", { href: `ui/verdicts/${enc(line.verdictKey)}` }, said(line.id));
}

export async function open(main, context) {
  const { identity } = context;
  const place = h("div", {});
  const { prompts } = await get("prompts");
  const heading = h("div", { class: "page-head" }, h("h1", {}, "Prompts"));
  if (!prompts.length) {
    fill(main, heading, empty("No alert type has a prompt.", "Alert types come from alert_type_config.json or from POST /api/v1/verification/config."));
    return;
  }
  const chosen = identity || prompts[0].alertType;
  const links = prompts.map((it) =>
    h("li", {}, h("a", { href: `ui/prompts/${enc(it.alertType)}`, "aria-current": it.alertType === chosen ? "page" : null }, h("span", {}, said(it.alertType)), h("span", { class: "muted number" }, `v${it.version}`))),
  );
  const picker = h("select", { onchange: () => location.assign(pageAddress(`prompts/${enc(picker.value)}`)) }, prompts.map((it) => h("option", { value: it.alertType }, it.alertType)));
  picker.value = chosen;
  fill(
    main,
    heading,
    h("div", { class: "two side" }, h("nav", { class: "card list", "aria-label": "Alert types" }, h("ul", {}, links)), h("label", { class: "field picker" }, "Alert type", picker), place),
  );
  await new Editor(place, chosen, context).load();
}
