// What changed between two texts, word by word; texts that are very long are compared by lines.

import { h, visible } from "./dom.js";

const MOST_WORDS = 1800;

/** Compare two texts: a list of `[kind, text]`, where kind is `same`, `removed` or `added`. */
export function compareTexts(before, after) {
  const words = (text) => text.match(/\n|[^\S\n]+|[^\s]+/g) ?? [];
  const lines = (text) => text.match(/[^\n]*\n|[^\n]+/g) ?? [];
  const isLong = Math.max(words(before).length, words(after).length) > MOST_WORDS;
  const cut = isLong ? lines : words;
  return join(align(cut(before), cut(after)));
}

/** The longest common subsequence of two lists, by the textbook's table. */
function align(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  const a = left.slice(start);
  const b = right.slice(start);
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i * width + j] =
        a[i] === b[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  const found = left.slice(0, start).map((it) => ["same", it]);
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push(["same", a[i]]);
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) {
      found.push(["removed", a[i]]);
      i += 1;
    } else {
      found.push(["added", b[j]]);
      j += 1;
    }
  }
  return found;
}

/** Put neighbours of one kind together, removals before what was added in their place. */
function join(parts) {
  const joined = [];
  let removed = "";
  let added = "";
  const flush = () => {
    if (removed) joined.push(["removed", removed]);
    if (added) joined.push(["added", added]);
    removed = "";
    added = "";
  };
  parts.forEach(([kind, text], place) => {
    const isGlue = kind === "same" && /^[^\S\n]+$/.test(text) && (removed || added) && parts[place + 1]?.[0] !== "same" && place + 1 < parts.length;
    if (isGlue) {
      removed += text;
      added += text;
    } else if (kind === "removed") removed += text;
    else if (kind === "added") added += text;
    else {
      flush();
      joined.push([kind, text]);
    }
  });
  flush();
  return joined;
}

/** Show what changed. Words say it too, for who cannot tell the colours apart. */
export function showDiff(before, after, { label = "What changed" } = {}) {
  if (before === after) return h("p", { class: "muted" }, "The texts are the same.");
  const parts = compareTexts(before, after).map(([kind, text]) => {
    if (kind === "removed") return h("del", {}, visible(text));
    if (kind === "added") return h("ins", {}, visible(text));
    return h("span", {}, visible(text));
  });
  return h("p", { class: "diff", role: "group", "aria-label": label }, parts);
}
