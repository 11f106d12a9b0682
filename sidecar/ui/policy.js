// Policies in words: which arm answers which events, and what changing that would do.

import { percent } from "./dom.js";

function list(words, last = "and") {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}

function useWords(use) {
  if (typeof use === "string") return `${use} answers`;
  switch (use.kind) {
    case "fixed":
      return `${use.arm} answers`;
    case "weighted": {
      const total = Object.values(use.weights).reduce((sum, it) => sum + it, 0) || 1;
      return `sensors are divided: ${list(Object.entries(use.weights).map(([arm, weight]) => `${percent(weight / total)} to ${arm}`))}`;
    }
    case "cascade":
      return `${list(use.arms, "then")} are asked one after the other until one is sure`;
    case "vote":
      return `${list(use.arms)} vote${use.umpire ? `, and ${use.umpire} decides when they differ` : ""}`;
    default:
      return `by a rule of the kind ${use.kind}`;
  }
}

const WHEN = {
  alert_types: "the alert type is",
  sensors: "the sensor is",
  priorities: "the priority is",
  questions: "the question is about",
};

function whenWords(when) {
  const parts = Object.entries(when ?? {}).map(([name, value]) => {
    if (name === "clip_s") return `the clip lasts ${value.min ?? 0} to ${value.max ?? "any number of"} seconds`;
    return `${WHEN[name] ?? name} ${list([value].flat(), "or")}`;
  });
  return parts.length ? list(parts) : "";
}

/** Say what a policy does, a sentence for each of its parts. */
export function policyWords(policy) {
  const rules = policy.rules ?? [];
  const sentences = rules.map((rule, place) => {
    const when = whenWords(rule.when);
    if (when) return `When ${when}: ${useWords(rule.use)}.`;
    return place === 0 ? `For every event: ${useWords(rule.use)}.` : `For all others: ${useWords(rule.use)}.`;
  });
  const fallback = [policy.fallback ?? []].flat();
  if (fallback.length) sentences.push(`When that fails: ${list(fallback, "then")}.`);
  if (policy.shadow) {
    const { arm, share = 1 } = policy.shadow;
    sentences.push(`In the shadow ${arm} is asked about ${percent(share)} of the events after their verdicts, and changes none.`);
  }
  return sentences;
}

/** The arms that a policy names. */
export function armsOf(policy) {
  const found = new Set();
  for (const { use } of policy.rules ?? []) {
    if (typeof use === "string") found.add(use);
    else for (const arm of [use.arm, ...(use.arms ?? []), ...Object.keys(use.weights ?? {}), use.umpire]) if (arm) found.add(arm);
  }
  for (const arm of [policy.fallback ?? []].flat()) found.add(arm);
  return found;
}
