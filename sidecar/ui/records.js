// Reads what the API tells of a verdict into what pages show. Values of `info` are strings.

function number(text) {
  const value = text === "" || text === undefined || text === null ? NaN : Number(text);
  return Number.isNaN(value) ? null : value;
}

function list(text) {
  try {
    const value = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

/** Read a VerdictResponse. */
export function readVerdict(record) {
  const info = record.event?.info ?? {};
  return {
    record,
    key: record.verdictKey,
    id: record.id,
    isPending: record.status === "pending",
    kind: record.kind,
    sensor: record.sensorId || record.event?.sensorId || "",
    category: record.category || record.event?.category || "",
    verdict: record.verdict ?? info.verdict ?? "",
    reason: record.reason,
    detail: info.sidecarDetail || info.verificationResponseStatus || "",
    arm: record.arm,
    at: record.timestamp || record.event?.timestamp || "",
    decidedAt: record.decidedAt,
    confidence: number(info.sidecarConfidence),
    latencyMs: number(info.sidecarLatencyMs),
    framesAsked: number(info.sidecarFramesAsked),
    framesSeen: number(info.sidecarFramesSeen),
    attempt: number(info.sidecarAttempt),
    model: info.sidecarModel ?? "",
    adapter: info.sidecarAdapter ?? "",
    promptVersion: info.sidecarPromptVersion ?? "",
    rule: info.sidecarRule ?? "",
    notes: (info.sidecarNotes ?? "").split(",").filter(Boolean),
    reasoning: info.reasoning ?? "",
    description: info.description ?? "",
    source: info.videoSource ?? "",
    answers: list(info.sidecarAnswers),
    heard: list(info.sidecarArms),
    happenings: list(info.sidecarEvents),
    boxes: list(info.sidecarBoxes),
    points: list(info.sidecarPoints),
  };
}

export const NOTES = {
  times_stretched: "The server was shown a slowed-down clip; times in the reasoning are too long.",
  fewer_images: "The server takes fewer pictures in one request than were asked for.",
  not_constrained: "The answer should have been a constrained choice, which the server cannot do.",
  no_confidence: "The alert type abstains by confidence, and the answer came without one.",
  frames_unknown: "The server does not tell how many frames the model saw.",
  asked_again: "The first answer was no verdict; the model was asked again.",
  fell_back: "The arm that should answer could not; another one did.",
  escalated: "An earlier arm was not sure, or arms did not agree; another one decided.",
};
