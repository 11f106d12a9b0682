// Builds elements. Whatever comes from events, models and people becomes a text node, never markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "circle", "line", "polyline", "text", "g", "title"]);

/** Make an element: `h("p", {class: "x", onclick: f}, "text", child, [more])`. */
export function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag)
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "style") Object.assign(element.style, value);
  else if (name === "value" || name === "checked") element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

// What turns the direction of text, or cannot be seen: it is shown by its name instead.
const UNSEEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** Make what cannot be seen visible: `‹U+202E›`. */
export function visible(text) {
  return String(text ?? "").replace(
    UNSEEN,
    (it) => `‹U+${it.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`,
  );
}

/** Show what somebody else wrote, apart from the direction of the text around it. */
export function said(text, attributes) {
  return h("bdi", attributes, visible(text));
}

/** Show a point in time, its exact form as the tooltip. */
export function moment(value, attributes) {
  if (!value) return "";
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return said(value);
  return h("time", { datetime: date.toISOString(), title: date.toISOString(), ...attributes }, clock(date));
}

export function clock(date) {
  const isToday = new Date().toDateString() === date.toDateString();
  const time = date.toLocaleTimeString([], { hour12: false });
  return isToday ? time : `${date.toLocaleDateString("sv")} ${time}`;
}

/** Say how long ago a moment was: `12 s`, `5 min`, `3 h`, `4 d`. */
export function ago(value, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - new Date(value).getTime()) / 1000));
  if (Number.isNaN(seconds)) return "";
  return span(seconds);
}

export function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** Write milliseconds for people: `480 ms`, `1.2 s`. */
export function duration(ms) {
  if (ms === null || ms === undefined || ms === "" || Number.isNaN(Number(ms))) return "–";
  const value = Number(ms);
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10000 ? 1 : 0)} s`;
}

export function percent(share, digits = 0) {
  return share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)} %`;
}

/** Write an estimate with its 95 % interval. */
export function estimate(number, digits = 0) {
  if (!number || number.value === null || number.value === undefined) return "–";
  const whole = percent(number.value, digits);
  if (number.low === null || number.high === null) return whole;
  return `${whole} (${(number.low * 100).toFixed(digits)} to ${(number.high * 100).toFixed(digits)} %)`;
}

export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
