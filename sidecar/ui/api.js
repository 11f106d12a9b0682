// The public API, as any other client of it. Addresses are relative to the service's root.

export class Refused extends Error {
  constructor(status, body) {
    super(body?.message || `The service answered with status ${status}.`);
    this.status = status;
    this.reason = body?.error ?? "";
    this.details = body?.details ?? [];
  }
}

export class Unreachable extends Error {
  constructor() {
    super("The service cannot be reached. Is it running, and is the network there?");
    this.status = 0;
    this.details = [];
  }
}

let csrf = "";

export function useSession(session) {
  csrf = session.csrf;
}

/** Return the full address of a path of the API, such as `verdicts/x/clip`. */
export function address(path) {
  return new URL(`api/v1/${path}`, document.baseURI).href;
}

/** Return the address of a page, such as `verdicts/x`. */
export function pageAddress(path) {
  return new URL(`ui/${path}`, document.baseURI).href;
}

export function enc(identity) {
  return encodeURIComponent(identity);
}

/** Say why something is changed. Headers carry bytes: what is beyond Latin-1 goes as its UTF-8. */
export function because(reason) {
  return reason ? { "X-Sidecar-Reason": String.fromCharCode(...new TextEncoder().encode(reason)) } : {};
}

export function query(values) {
  const wanted = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return wanted.length ? `?${new URLSearchParams(wanted)}` : "";
}

async function send(method, path, { body, headers = {}, signal } = {}) {
  const all = { Accept: "application/json", ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (csrf && method !== "GET") all["X-CSRF-Token"] = csrf;
  let answer;
  try {
    answer = await fetch(address(path), {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  const refusal = new Refused(answer.status, await answer.json().catch(() => null));
  if (answer.status === 401 && path !== "session") document.dispatchEvent(new CustomEvent("signed-out"));
  throw refusal;
}

export async function ask(method, path, options) {
  const answer = await send(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, options) => ask("GET", path, options);
export const put = (path, body, options) => ask("PUT", path, { ...options, body });
export const post = (path, body, options) => ask("POST", path, { ...options, body });
export const del = (path, options) => ask("DELETE", path, options);

/** Ask for what may not be there: null stands for 404. */
export async function maybe(path, options) {
  try {
    return await get(path, options);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Read the server-sent events of one answer until it ends; calls `take({event, data, id})`. */
export async function readEvents(answer, take) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const found = parse(block);
      if (found) take(found);
    }
  }
}

function parse(block) {
  const found = { event: "message", data: "", id: "" };
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("data:")) found.data += line.slice(5).trimStart();
    else if (line.startsWith("event:")) found.event = line.slice(6).trim();
    else if (line.startsWith("id:")) found.id = line.slice(3).trim();
  }
  return found.data ? found : null;
}

/** Ask for what comes as lines of JSON, one after the other; calls `take` with each. */
export async function lines(method, path, options, take) {
  const answer = await send(method, path, { ...options, headers: { Accept: "application/x-ndjson" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) if (line) take(JSON.parse(line));
  }
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const SILENT_MS = 60000;

/** Wait, but not beyond the moment at which the network is there again. */
function sleep(ms) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      removeEventListener("online", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    addEventListener("online", wake);
  });
}

/**
 * Follow a stream for as long as `signal` lets, and resume it behind the last event that came.
 *
 * `opened()` is called each time it opens, and told whether it goes on without a gap;
 * `state(word)` tells `live`, `waiting` or `refused`.
 */
export async function follow(path, { take, opened, state, signal }) {
  let last = "";
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const patience = new AbortController();
    const stop = () => patience.abort();
    signal.addEventListener("abort", stop, { once: true });
    let silence = setTimeout(stop, SILENT_MS);
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const answer = await send("GET", path, { headers, signal: patience.signal });
      wait = FIRST_WAIT_MS;
      state("live");
      opened(last !== "");
      const heard = new TransformStream({
        transform(chunk, out) {
          clearTimeout(silence);
          silence = setTimeout(stop, SILENT_MS);
          out.enqueue(chunk);
        },
      });
      await readEvents({ body: answer.body.pipeThrough(heard) }, (event) => {
        if (event.id) last = event.id;
        take(event);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) {
        state("refused", error);
        return;
      }
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) return;
    state("waiting");
    await sleep(wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}
