import { type Call, doubles, type Final, type History, isBefore } from "./history.ts";

const TERMINAL = new Set(["done", "failed", "cancelled", "aborted"]);

/** Logs have no gap, no double, all that was acknowledged in its order, and one end; followers saw them as they are. */
export function* checkLogs({ calls, leaves }: History): Generator<string> {
  const byLeaf = Map.groupBy(calls, (call) => call.leafId);
  for (const leaf of leaves) {
    const own = byLeaf.get(leaf.leafId) ?? [];
    yield* checkNumbers(leaf);
    yield* checkEnd(leaf, own);
    yield* checkTexts(leaf, own);
    for (const call of own.filter(({ op }) => op === "follow")) yield* checkFollower(leaf, call);
    for (const { epoch } of own.filter(({ op, answer }) => op === "claim" && answer === "ok")) {
      if (!leaf.log.some((event) => event.epoch === epoch)) yield `the claim of epoch ${epoch} is not in the log of ${leaf.leafId}`;
    }
  }
}

function* checkNumbers({ leafId, log }: Final): Generator<string> {
  if (log.some(({ seq }, i) => seq !== i + 1)) yield `the log of ${leafId} has a gap or a double`;
}

function* checkEnd({ leafId, log, state, result }: Final, own: readonly Call[]): Generator<string> {
  const ends = log.filter(({ word }) => TERMINAL.has(word));
  if (!TERMINAL.has(state)) yield `${leafId} never ended`;
  else if (ends.length !== 1 || log.at(-1)?.word !== state) yield `the log of ${leafId} does not end as the leaf did`;
  const finish = own.find((call) => call.op === "finish" && call.answer === "ok");
  if (finish !== undefined && finish.texts?.[0] !== result) yield `${leafId} has another result than was acknowledged`;
}

function* checkTexts({ leafId, log }: Final, own: readonly Call[]): Generator<string> {
  const appends = own.filter(({ op }) => op === "append");
  const place = new Map(log.map(({ word }, i) => [word, i]));
  const known = new Set(appends.flatMap(({ texts }) => texts ?? []));
  const texts = log.map(({ word }) => word).filter((word) => word.includes(":"));
  for (const text of doubles(texts)) yield `${text} is in the log of ${leafId} twice`;
  for (const text of texts) if (!known.has(text)) yield `${text} is in the log of ${leafId} and was never appended`;
  const kept = appends.filter(({ answer }) => answer === "ok");
  for (const { texts: all = [] } of kept) {
    for (const text of all) if (!place.has(text)) yield `${text} was acknowledged and is not in the log of ${leafId}`;
  }
  // What has a key may be there from an earlier append of the same.
  const plain = kept.filter(({ keyed }) => keyed !== true).toSorted((a, b) => a.beginMs - b.beginMs);
  for (const [i, call] of plain.entries()) {
    const next = plain[i + 1];
    const [last, first] = [place.get(call.texts?.at(-1) ?? ""), place.get(next?.texts?.[0] ?? "")];
    if (isBefore(call, next) && last !== undefined && first !== undefined && last > first) yield `the log of ${leafId} is out of order`;
  }
}

function* checkFollower({ leafId, log }: Final, { process, texts = [], answer }: Call): Generator<string> {
  const same = texts.every((text, i) => text === `${log[i]?.seq} ${log[i]?.word}`);
  if (!same) yield `${process} followed ${leafId} and saw another log`;
  if (answer === "ok" && texts.length !== log.length) yield `${process} followed ${leafId} to its end and saw only a part`;
}
