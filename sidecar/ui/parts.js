// The few parts that pages are made of.

import { duration, fill, h, percent, said } from "./dom.js";

const VERDICTS = {
  confirmed: ["confirmed", "Confirmed"],
  rejected: ["rejected", "Rejected"],
  "verification-failed": ["failed", "Failed"],
  failed: ["failed", "Failed"],
  "": ["none", "Described"],
};

/** Show a verdict by colour, shape and word. */
export function badge(verdict, attributes) {
  const [kind, word] = VERDICTS[verdict ?? ""] ?? ["none", verdict];
  return h("span", { class: `badge is-${kind}`, ...attributes }, h("i", { "aria-hidden": "true" }), said(word));
}

export function word(verdict) {
  return (VERDICTS[verdict ?? ""] ?? ["", verdict])[1];
}

/** Show a confidence as a number with a bar. */
export function confidence(value) {
  if (value === null || value === undefined) {
    return h("span", { class: "muted", title: "The model's answer came without one" }, "–");
  }
  return h(
    "span",
    { class: "meter", title: `Confidence ${value}` },
    h("span", { class: "meter-bar", "aria-hidden": "true" }, h("span", { style: { width: `${Math.round(value * 100)}%` } })),
    percent(value),
  );
}

export function card(title, ...children) {
  return h("section", { class: "card" }, title ? h("h2", {}, title) : null, children);
}

/** A list of facts: pairs of a word and what to show; empty ones are left out. */
export function facts(pairs, attributes) {
  return h(
    "dl",
    { class: "facts", ...attributes },
    pairs
      .filter(([, value]) => value !== "" && value !== null && value !== undefined)
      .map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, value instanceof Node || Array.isArray(value) ? value : said(value))),
      ),
  );
}

/** A message in the place of what is not there. */
export function empty(title, ...words) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), words.length ? h("p", {}, words) : null);
}

/** Say what went wrong, and what can be done about it. */
export function problem(error, retry) {
  const missing = /lacks the scope '(\w+)'/.exec(error.message);
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", {}, said(error.message)),
    missing ? h("p", {}, `Sign in with a key that has the scope ${missing[1]}.`) : null,
    error.details?.length
      ? h("ul", {}, error.details.map((it) => h("li", {}, said(`${it.field}: ${it.message}`))))
      : null,
    retry ? h("button", { class: "button", onclick: retry }, "Try again") : null,
  );
}

let toasts;

/** Tell something that happened, without taking the focus. */
export function toast(words, { isBad = false, action } = {}) {
  toasts ??= document.body.appendChild(h("div", { class: "toasts", role: "status", "aria-live": "polite" }));
  const shown = h(
    "div",
    { class: isBad ? "toast is-bad" : "toast" },
    h("span", {}, visibleWords(words)),
    action ? h("button", { class: "button is-small", onclick: () => { shown.remove(); action.act(); } }, action.words) : null,
  );
  toasts.append(shown);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(() => shown.remove(), isBad ? 12000 : 6000);
}

function visibleWords(words) {
  return words instanceof Node ? words : said(words);
}

export function failed(error) {
  const details = (error.details ?? []).map((it) => ` ${it.field}: ${it.message}`).join("");
  toast(error.message + details, { isBad: true });
}

/**
 * Ask before something is changed: what will happen in words, and why it is done.
 *
 * Resolves to the reason, or null when it is not to be done.
 */
export function confirm({ title, words, action, wantsReason = true, isDangerous = false }) {
  return new Promise((resolve) => {
    let answer = null;
    const reason = h("input", { type: "text", maxlength: 1000, name: "reason", autocomplete: "off" });
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "confirm-title" });
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          answer = reason.value.trim();
          dialog.close();
        },
      },
      h("h2", { id: "confirm-title" }, title),
      h("ul", { class: "consequences" }, [words].flat().map((it) => h("li", {}, it))),
      wantsReason ? h("label", { class: "field" }, "Why (stands in the history)", reason) : null,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { class: isDangerous ? "button is-danger" : "button is-primary", type: "submit" }, action),
      ),
    );
    fill(dialog, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    (wantsReason ? reason : form.querySelector("[type=submit]")).focus();
  });
}

/**
 * Build a part of a page anew, and give the focus back to the control that had it.
 *
 * Controls are found again by their `data-focus`; else the part itself gets the focus, so that
 * whoever works by keys goes on from there.
 */
export async function keepingFocus(place, build) {
  const focused = document.activeElement;
  const hadFocus = place.contains(focused) || focused === document.body;
  const name = focused?.dataset?.focus;
  await build();
  if (!hadFocus || place.contains(document.activeElement)) return;
  const again = name && place.querySelector(`[data-focus="${CSS.escape(name)}"]:not([disabled])`);
  if (!again) place.setAttribute("tabindex", "-1");
  (again || place).focus({ preventScroll: true });
}

/** Copy a text, and say so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS browsers have no clipboard for scripts, but a selection can still be copied.
    const area = h("textarea", { class: "unseen", value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied.");
}

export function jsonBlock(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return h(
    "div",
    { class: "code" },
    h("button", { class: "button is-small code-copy", onclick: () => copy(text) }, "Copy"),
    h("pre", { tabindex: "0" }, said(text)),
  );
}

export function latency(ms) {
  return h("span", { class: "number" }, duration(ms));
}

/** A table. Wide ones scroll inside their own frame; on a phone each row becomes a block. */
export function table(head, rows, { caption } = {}) {
  return h(
    "div",
    { class: "table-frame", tabindex: "0", role: "region", "aria-label": caption ?? "Table" },
    h(
      "table",
      { class: "table" },
      caption ? h("caption", { class: "unseen" }, caption) : null,
      h("thead", {}, h("tr", {}, head.map((it) => h("th", { scope: "col" }, it)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((it, place) => h("td", { "data-label": head[place] || null }, h("div", {}, it)))))),
    ),
  );
}

/** Draw estimates with their intervals on one scale; `from` and `to` are its ends. */
export function intervals(rows, { from, to, mark, label, write }) {
  const width = 320;
  const place = (value) => ((Math.min(to, Math.max(from, value)) - from) / (to - from)) * width;
  return h(
    "div",
    { class: "intervals", role: "img", "aria-label": `${label}: ${rows.map((it) => `${it.name} ${write(it.number)}`).join("; ")}` },
    rows.map(({ name, number }) =>
      h(
        "div",
        { class: "interval" },
        h("span", { class: "interval-name" }, said(name)),
        h(
          "svg",
          { viewBox: `0 0 ${width} 20`, preserveAspectRatio: "none", "aria-hidden": "true" },
          h("line", { x1: 0, x2: width, y1: 10, y2: 10, class: "axis" }),
          mark === undefined ? null : h("line", { x1: place(mark), x2: place(mark), y1: 1, y2: 19, class: "mark" }),
          number?.low === null || number?.low === undefined
            ? null
            : h("rect", { x: place(number.low), y: 7, height: 6, width: Math.max(1, place(number.high) - place(number.low)), rx: 3, class: "range" }),
          number?.value === null || number?.value === undefined
            ? null
            : h("rect", { x: place(number.value) - 2, y: 3, height: 14, width: 4, rx: 1, class: "value" }),
        ),
        h("span", { class: "interval-words number" }, write(number)),
      ),
    ),
  );
}
