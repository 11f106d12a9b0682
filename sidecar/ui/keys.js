// Shortcuts of single keys. They can be switched off, and never fire while somebody types.

import { h, fill } from "./dom.js";

const STORED = "sidecar.shortcuts";
const registered = [];
let prefix = "";

export function areOn() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}

/** Let a key, or two one after the other (`g f`), do something; `words` stand in the list. */
export function onKey(key, words, act) {
  registered.push({ key, words, act });
}

function isTyping(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const pressed = prefix ? `${prefix} ${event.key}` : event.key;
    prefix = "";
    if (event.key !== "?" && !areOn()) return;
    const found = registered.findLast((it) => it.key === pressed);
    if (found) {
      event.preventDefault();
      found.act(event);
    } else if (registered.some((it) => it.key.startsWith(`${event.key} `))) {
      prefix = event.key;
      setTimeout(() => (prefix = ""), 1500);
    }
  });
}

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space" };

export function showHelp() {
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "help-title" });
  const rows = registered.map(({ key, words }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, key.split(" ").map((it) => h("kbd", {}, NAMES[it] ?? it))),
      h("td", {}, words),
    ),
  );
  const toggle = h("input", {
    type: "checkbox",
    checked: areOn(),
    onchange: () => localStorage.setItem(STORED, toggle.checked ? "on" : "off"),
  });
  fill(
    dialog,
    h("h2", { id: "help-title" }, "Keyboard"),
    h("table", { class: "keys" }, h("tbody", {}, rows)),
    h("label", { class: "check" }, toggle, "Shortcuts of single keys"),
    h(
      "div",
      { class: "actions" },
      h("button", { class: "button", onclick: () => dialog.close() }, "Close"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
