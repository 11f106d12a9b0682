// Starts a page: who asks, what stands around every page, and the page's own module.

import { get, pageAddress, post, del, useSession } from "./api.js";
import { fill, h, said } from "./dom.js";
import { listen, onKey, showHelp } from "./keys.js";
import { empty, failed, problem } from "./parts.js";

const PAGES = {
  "": { module: "./feed.js", title: "Feed" },
  verdicts: { module: "./verdict.js", title: "Verdict" },
  compare: { module: "./compare.js", title: "Side by side" },
  disagreements: { module: "./disagreements.js", title: "Disagreements", scope: "label" },
  ab: { module: "./ab.js", title: "A/B" },
  prompts: { module: "./prompts.js", title: "Prompts" },
  system: { module: "./system.js", title: "System" },
};
const LINKS = [
  ["", "Feed", "f"],
  ["disagreements", "Disagreements", "d"],
  ["ab", "A/B", "a"],
  ["prompts", "Prompts", "p"],
  ["system", "System", "s"],
];

const here = decodePath();
const main = h("main", { id: "main", tabindex: "-1" });

function decodePath() {
  const root = new URL("ui", document.baseURI).pathname;
  const below = location.pathname.slice(root.length).replace(/^\/|\/$/g, "");
  const [name, ...rest] = below.split("/");
  return { name, identity: decodeURIComponent(rest.join("/")) };
}

function chosenTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

function turnTheme(button) {
  const isDark =
    chosenTheme() === "dark" ||
    (chosenTheme() === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  const next = isDark ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("sidecar.theme", next);
  } catch {
    // It lasts as long as the page.
  }
  button.setAttribute("aria-label", themeWords());
  button.title = themeWords();
}

function themeWords() {
  return "Change between dark and light (t)";
}

function frame(session) {
  const theme = h("button", { class: "icon-button", "aria-label": themeWords(), title: themeWords(), onclick: () => turnTheme(theme) }, "◐");
  const help = h("button", { class: "icon-button", "aria-label": "Keyboard shortcuts (?)", title: "Keyboard shortcuts (?)", onclick: showHelp }, "?");
  onKey("?", "this list", showHelp);
  onKey("t", "dark or light", () => turnTheme(theme));
  for (const [name, title, key] of LINKS) onKey(`g ${key}`, `go to ${title}`, () => location.assign(pageAddress(name)));
  const skip = h("button", { class: "skip", onclick: () => main.focus() }, "Skip to the content");
  const links = LINKS.map(([name, title]) =>
    h(
      "a",
      { href: name ? `ui/${name}` : "ui", "aria-current": isHere(name) ? "page" : null },
      h("i", { class: `nav-icon is-${name || "feed"}`, "aria-hidden": "true" }),
      title,
    ),
  );
  return [
    skip,
    h(
      "header",
      { class: "top" },
      h("a", { class: "brand", href: "ui" }, h("img", { src: "ui/assets/icon.svg", alt: "", width: 24, height: 24 }), "VLM sidecar"),
      h("nav", { class: "nav", "aria-label": "Pages" }, links),
      h("div", { class: "top-right" }, who(session), theme, help),
    ),
    main,
  ];
}

function isHere(name) {
  return name === here.name || (name === "" && (here.name === "verdicts" || here.name === "compare"));
}

function who(session) {
  if (!session.name) return null;
  const can = session.scopes.join(", ");
  const name = h("span", { class: "who", title: `May: ${can}` }, said(session.name));
  if (!session.signedIn) return name;
  return [name, h("button", { class: "button is-small", onclick: signOut }, "Sign out")];
}

async function signOut() {
  try {
    await del("session");
    location.reload();
  } catch (error) {
    failed(error);
  }
}

function signIn(words) {
  const key = h("input", { type: "password", name: "key", required: true, autocomplete: "current-password", maxlength: 512 });
  const told = h("div", { "aria-live": "assertive" });
  const form = h(
    "form",
    {
      class: "card sign-in",
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await post("session", { key: key.value.trim() });
          location.reload();
        } catch (error) {
          fill(told, problem(error));
          key.select();
        }
      },
    },
    h("h1", {}, "Sign in"),
    h("p", {}, words),
    // A name for password managers, which keep keys by it.
    h("input", { class: "unseen", type: "text", name: "username", value: "sidecar", autocomplete: "username", tabindex: "-1", "aria-hidden": "true" }),
    h("label", { class: "field" }, "API key", key),
    told,
    h("div", { class: "actions" }, h("button", { class: "button is-primary", type: "submit" }, "Sign in")),
    h("p", { class: "muted" }, "Scopes: read shows everything, label says who was right, admin changes arms and prompts. ", h("code", {}, "sidecar keys new"), " makes keys."),
  );
  fill(main, form);
  key.focus();
}

async function start() {
  listen();
  let session;
  try {
    session = await get("session");
  } catch (error) {
    fill(document.body, frame({ scopes: [] }));
    fill(main, problem(error, () => location.reload()));
    return;
  }
  useSession(session);
  fill(document.body, frame(session));
  const page = PAGES[here.name];
  document.title = `${page?.title ?? "No such page"} · VLM sidecar`;
  document.addEventListener("signed-out", () => signIn("Your session has ended, or its key is gone. Sign in again to go on."));
  if (session.needsKey) {
    signIn("This service asks for a key.");
    return;
  }
  if (!page) {
    fill(main, h("h1", {}, "No such page"), empty("There is nothing at this address.", h("a", { href: "ui" }, "Go to the feed")));
    return;
  }
  await show(page, session);
}

async function show(page, session) {
  const may = (scope) => session.scopes.includes(scope) || session.scopes.includes("admin");
  if (!may("read")) {
    fill(main, h("h1", {}, page.title), lacking(session, "read"));
    return;
  }
  try {
    const { open } = await import(page.module);
    await open(main, { session, may, lacking: (scope) => lacking(session, scope), identity: here.identity });
    main.dataset.isReady = "true";
  } catch (error) {
    if (error.status === 401) return;
    const heading = main.querySelector("h1") ?? main.appendChild(h("h1", {}, page.title));
    heading.after(problem(error, () => location.reload()));
    if (!("status" in error)) throw error;
  }
}

/** Say which scope is missing for what a page or a part of it does. */
function lacking(session, scope) {
  return h(
    "p",
    { class: "lacking", role: "note" },
    "The key ",
    said(session.name),
    ` lacks the scope ${scope}, which this needs. Sign in with a key that has it.`,
  );
}

start();
