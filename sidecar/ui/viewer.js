// The frames that a model saw: a large one with what is drawn on it, the filmstrip, and the clip.

import { address, enc, query } from "./api.js";
import { fill, h, said, visible } from "./dom.js";
import { clipTime, frameAddress, framesOf } from "./frames.js";
import { onKey } from "./keys.js";
import { empty } from "./parts.js";

/**
 * Build the viewer of a verdict.
 *
 * `drawn` has `boxes` (`{label, box}`) and `points` (`{label, point}`), places as shares of the
 * picture; `usesKeys` binds the arrow keys.
 */
export async function viewer(key, drawn = { boxes: [], points: [] }, { usesKeys = true } = {}) {
  const found = await framesOf(key).catch((error) => ({ frames: [], error }));
  const frames = found?.frames ?? [];
  if (!frames.length) return h("div", { class: "stack" }, empty("The frames are gone.", goneWords(found)), clip(key));
  return h("div", { class: "viewer" }, stage(key, frames, found, drawn, usesKeys), clip(key));
}

function goneWords(found) {
  if (found?.error) return said(found.error.message);
  return said(found?.reason || "Neither were they kept, nor does the source still have the clip.");
}

function stage(key, frames, found, drawn, usesKeys) {
  let place = 0;
  const picture = h("img", { class: "stage-picture", onload: () => draw() });
  const overlay = h("svg", { class: "overlay", preserveAspectRatio: "none", viewBox: "0 0 1000 1000" });
  const words = h("p", { class: "stage-words", "aria-live": "polite" });
  const things = drawn.boxes.length + drawn.points.length;
  const strip = h(
    "ol",
    { class: "filmstrip", "aria-label": "Frames that the model saw" },
    frames.map((frame, index) =>
      h(
        "li",
        {},
        h(
          "button",
          { class: "frame", "aria-label": frameWords(frame, index, frames.length), onclick: () => go(index) },
          h("img", { src: frameAddress(key, frame.index, 160), alt: "", loading: "lazy", width: 112, height: 64 }),
          h("span", { class: "thumb-time" }, clipTime(frame.timeS)),
        ),
      ),
    ),
  );
  const show = things
    ? h("label", { class: "check" }, h("input", { type: "checkbox", checked: true, onchange: (event) => overlay.toggleAttribute("hidden", !event.target.checked) }), `Draw what the model located (${things})`)
    : null;

  function draw() {
    fill(overlay, shapes(drawn));
  }

  function go(to) {
    place = Math.max(0, Math.min(frames.length - 1, to));
    const frame = frames[place];
    picture.src = frameAddress(key, frame.index, 960);
    picture.alt = `Frame ${place + 1} of ${frames.length}`;
    words.textContent = frameWords(frame, place, frames.length);
    strip.querySelectorAll(".frame").forEach((it, index) => {
      it.setAttribute("aria-current", String(index === place));
      if (index === place) strip.scrollTo({ left: it.offsetLeft - strip.offsetLeft - 60 });
    });
  }

  if (usesKeys) {
    onKey("ArrowRight", "next frame", () => go(place + 1));
    onKey("ArrowLeft", "previous frame", () => go(place - 1));
  }
  go(0);
  return [
    h("div", { class: "stage" }, picture, overlay),
    words,
    show,
    strip,
    found.source === "clip" || found.exact === false ? h("p", { class: "muted" }, "Taken from the clip again in the same way; the very frames were not kept.") : null,
  ];
}

function frameWords(frame, place, count) {
  const at = frame.timestamp ? ` · ${new Date(frame.timestamp).toISOString().replace("T", " ").replace("Z", " UTC")}` : "";
  return `Frame ${place + 1} of ${count} · ${clipTime(frame.timeS)}${at}`;
}

/** Draw boxes, and points of one label as a path in their order. */
function shapes({ boxes, points }) {
  const paths = Map.groupBy ? Map.groupBy(points, (it) => it.label) : grouped(points);
  return [
    boxes.map(({ box: [x1, y1, x2, y2], label }) => [
      h("rect", { class: "box", x: x1 * 1000, y: y1 * 1000, width: (x2 - x1) * 1000, height: (y2 - y1) * 1000, "vector-effect": "non-scaling-stroke" }),
      h("title", {}, visible(label)),
    ]),
    [...paths.values()].map((those) => [
      h("polyline", { class: "path", points: those.map(({ point: [x, y] }) => `${x * 1000},${y * 1000}`).join(" "), "vector-effect": "non-scaling-stroke" }),
    ]),
  ];
}

function grouped(points) {
  const found = new Map();
  for (const it of points) found.set(it.label, [...(found.get(it.label) ?? []), it]);
  return found;
}

/** What the model located, in words: the pictures alone say nothing to who cannot see them. */
export function located({ boxes, points }) {
  const names = (things) => [...new Set(things.map((it) => it.label))];
  if (!boxes.length && !points.length) return null;
  const where = (shares) => shares.map((it) => `${Math.round(it * 100)} %`).join(", ");
  return h(
    "ul",
    { class: "plain" },
    boxes.map((it) => h("li", {}, h("strong", {}, said(it.label || "something")), h("span", { class: "muted" }, ` from left, top to right, bottom: ${where(it.box)}`))),
    names(points).map((name) => h("li", {}, h("strong", {}, said(name || "something")), h("span", { class: "muted" }, ` moves along ${points.filter((it) => it.label === name).length} points`))),
  );
}

/** Play the clip, or say why it cannot be played. */
function clip(key) {
  const path = `verdicts/${enc(key)}/clip`;
  const place = h("div", { class: "clip" });
  const button = h("button", { class: "button", onclick: () => play() }, "Play the clip");
  fill(place, button);

  async function play() {
    button.disabled = true;
    const answer = await fetch(address(path + query({})), { headers: { Range: "bytes=0-0" } }).catch(() => null);
    if (!answer?.ok) {
      const body = await answer?.json().catch(() => null);
      fill(place, h("p", { class: "muted", role: "status" }, said(body?.message ?? "The clip cannot be played.")));
      return;
    }
    answer.body?.cancel();
    const video = h("video", { controls: true, src: address(path), class: "stage-picture", playsinline: true, tabindex: "0" });
    video.addEventListener("error", () => fill(place, h("p", { class: "muted", role: "status" }, "This browser cannot play the clip's format.")));
    fill(place, video);
    video.play().catch(() => {});
    video.focus();
  }
  return place;
}
