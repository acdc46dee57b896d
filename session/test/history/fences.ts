import { type Call, doubles, type History, isBefore } from "./history.ts";

const WRITES = new Set(["heartbeat", "append", "finish", "retry", "release"]);
const ENDS = new Set(["finish", "retry", "release"]);

/** One owner per epoch; no old one writes; nobody loses a leaf under a live lease; nothing happens to a leaf that is over. */
export function* checkFences({ calls }: History): Generator<string> {
  for (const [sessionId, ofSession] of Map.groupBy(calls, (call) => call.sessionId)) {
    if (sessionId === undefined) continue;
    const ok = ofSession.filter((call) => call.answer === "ok");
    const claims = ok.filter((call) => call.op === "claim");
    for (const epoch of doubles(claims.map((call) => call.epoch))) yield `epoch ${epoch} of ${sessionId} was owned twice`;
    for (const write of ok.filter((call) => WRITES.has(call.op))) {
      const newer = claims.find((claim) => (claim.epoch ?? 0) > (write.epoch ?? 0) && isBefore(claim, write));
      if (newer !== undefined) yield `${nameOf(write)} was acknowledged behind the claim of epoch ${newer.epoch}`;
      const ended = ok.find((call) => call.epoch === write.epoch && ENDS.has(call.op) && isBefore(call, write));
      if (ended !== undefined) yield `${nameOf(write)} was acknowledged behind the ${ended.op} of its own claim`;
    }
    yield* checkLeases(claims, ofSession, calls);
  }
  for (const [leafId, ofLeaf] of Map.groupBy(calls, (call) => call.leafId)) {
    if (leafId === undefined) continue;
    const finishes = ofLeaf.filter((call) => call.op === "finish" && call.answer === "ok");
    if (finishes.length > 1) yield `${leafId} was finished ${finishes.length} times`;
    const late = ofLeaf.find((call) => call.op === "claim" && call.answer === "ok" && finishes.some((finish) => isBefore(finish, call)));
    if (late !== undefined) yield `${leafId} was claimed behind its end`;
  }
}

/** Times are told in whole milliseconds. */
const ROUNDING_MS = 2;

/** Who took a leaf over did so because its owner let go, was said to be dead, or its lease had ended. */
function* checkLeases(claims: readonly Call[], ofSession: readonly Call[], all: readonly Call[]): Generator<string> {
  const inOrder = claims.toSorted((a, b) => (a.epoch ?? 0) - (b.epoch ?? 0));
  for (const [i, claim] of inOrder.entries()) {
    const next = inOrder[i + 1];
    if (next?.endMs === undefined) continue;
    const { endMs } = next;
    const own = ofSession.filter((call) => call.epoch === claim.epoch && call !== claim);
    const freed = own.some((call) => ENDS.has(call.op) && call.beginMs < endMs);
    const saidDead = all.some((call) => call.op === "releaseWorker" && call.worker === claim.process && call.beginMs < endMs);
    if (freed || saidDead) continue;
    const leases = [claim, ...own.filter((call) => call.op === "heartbeat" && call.answer === "ok")];
    const lasts = Math.max(...leases.map((call) => call.beginMs + (call.leaseMs ?? 0)));
    if (endMs < lasts - ROUNDING_MS) yield `epoch ${next.epoch} of ${next.sessionId} took a leaf from under a live lease`;
  }
}

function nameOf({ op, process, leafId, epoch }: Call): string {
  return `${op} of ${process} on ${leafId} in epoch ${epoch}`;
}
