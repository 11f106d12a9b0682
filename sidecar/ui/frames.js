// The frames that a model saw: small ones beside a verdict, and the filmstrip of its page.

import { address, enc, maybe } from "./api.js";
import { h } from "./dom.js";

const AT_ONCE = 3;
const KEPT_AFTER_MS = 1000;
const FRESH_MS = 10000;
const waiting = [];
let loading = 0;

/** Return the address of a frame, so many pixels wide. */
export function frameAddress(key, index, width) {
  return address(`verdicts/${enc(key)}/frames/${index}?width=${width}`);
}

/** Write where in its clip a frame is: `0:01.5`. */
export function clipTime(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - minutes * 60).toFixed(1).padStart(4, "0")}`;
}

/**
 * Ask which frames there are of a verdict: `{frames, source, exact, reason}`; null when unknown.
 *
 * Without `decode` only those that were kept: a feed must not have clips fetched and decoded.
 */
export async function framesOf(key, { decode = true } = {}) {
  return maybe(`verdicts/${enc(key)}/frames${decode ? "" : "?decode=false"}`);
}

/** Pick up to `count` of some things, evenly, the first and the last among them. */
export function spread(things, count) {
  if (things.length <= count) return things;
  return Array.from({ length: count }, (_, place) => things[Math.round((place * (things.length - 1)) / (count - 1))]);
}

/** Show small frames in a row of the feed once somebody can see it. */
export class Thumbnails {
  #watched = new IntersectionObserver((seen) => {
    for (const entry of seen) {
      if (!entry.isIntersecting) continue;
      this.#watched.unobserve(entry.target);
      waiting.push(entry.target);
    }
    next();
  });

  make(key) {
    const place = h("span", { class: "thumbs", "data-key": key, "aria-hidden": "true" });
    place.madeAt = Date.now();
    this.#watched.observe(place);
    return place;
  }

  forget(row) {
    const place = row.querySelector(".thumbs");
    if (place) this.#watched.unobserve(place);
  }
}

function next() {
  while (loading < AT_ONCE && waiting.length) {
    const place = waiting.pop(); // the newest is the one that is looked at
    if (!place.isConnected) continue;
    loading += 1;
    load(place).finally(() => {
      loading -= 1;
      next();
    });
  }
}

async function load(place, patience = 3) {
  const key = place.dataset.key;
  let found = null;
  try {
    found = await framesOf(key, { decode: false });
  } catch {
    // A row without pictures still tells its verdict.
  }
  const frames = spread(found?.frames ?? [], 3);
  if (!frames.length && patience && Date.now() - place.madeAt < FRESH_MS) {
    // Frames are kept shortly after their verdict.
    setTimeout(() => place.isConnected && load(place, patience - 1), KEPT_AFTER_MS);
    return;
  }
  if (!frames.length) {
    place.classList.add("is-gone");
    place.textContent = "no frames";
    return;
  }
  await Promise.all(frames.map((frame) => show(place, key, frame)));
}

function show(place, key, frame) {
  return new Promise((resolve) => {
    const picture = h("img", {
      alt: "",
      width: 80,
      height: 45,
      src: frameAddress(key, frame.index, 160),
      onload: resolve,
      onerror: () => {
        picture.remove();
        resolve();
      },
    });
    place.append(h("span", { class: "thumb" }, picture, h("span", { class: "thumb-time" }, clipTime(frame.timeS))));
  });
}
