import { expect, test } from "vitest";
import { violationsOf } from "./checker.ts";
import type { Call, Final, History } from "./history.ts";

/** A history that keeps every promise: one worker gets stuck, another one takes over and ends the leaf. */
const CALLS: readonly Call[] = [
  { process: "s", op: "submit", beginMs: 0, endMs: 1, answer: "ok", key: "k1", leafId: "l1" },
  { process: "s", op: "submit", beginMs: 2, endMs: 3, answer: "ok", key: "k2", leafId: "l2" },
  {
    process: "f",
    op: "follow",
    beginMs: 3,
    endMs: 300,
    answer: "ok",
    leafId: "l1",
    texts: ["1 queued", "2 running", "3 a:1", "4 running", "5 b:1", "6 done"],
  },
  { process: "a", op: "claim", beginMs: 4, endMs: 5, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 1, leaseMs: 100 },
  { process: "a", op: "append", beginMs: 6, endMs: 7, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 1, texts: ["a:1"] },
  { process: "b", op: "claim", beginMs: 110, endMs: 111, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 2, leaseMs: 100 },
  { process: "b", op: "append", beginMs: 112, endMs: 113, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 2, texts: ["b:1"] },
  { process: "a", op: "append", beginMs: 114, endMs: 115, answer: "stale_epoch", leafId: "l1", sessionId: "s1", epoch: 1, texts: ["a:2"] },
  { process: "b", op: "finish", beginMs: 120, endMs: 121, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 2, texts: ["hi"] },
  { process: "b", op: "claim", beginMs: 122, endMs: 123, answer: "ok", leafId: "l2", sessionId: "s1", epoch: 3, leaseMs: 100 },
  { process: "b", op: "finish", beginMs: 124, endMs: 125, answer: "ok", leafId: "l2", sessionId: "s1", epoch: 3, texts: ["ho"] },
];

function log(...words: readonly string[]): Final["log"] {
  return words.map((text, i) => {
    const [word = "", epoch] = text.split("@");
    return { seq: i + 1, word, ...(epoch === undefined ? {} : { epoch: Number(epoch) }) };
  });
}

const L1: Final = {
  leafId: "l1",
  sessionId: "s1",
  key: "k1",
  state: "done",
  result: "hi",
  log: log("queued", "running@1", "a:1", "running@2", "b:1", "done"),
};
const L2: Final = { leafId: "l2", sessionId: "s1", key: "k2", state: "done", result: "ho", log: log("queued", "running@3", "done") };

const GOOD: History = { calls: CALLS, leaves: [L1, L2] };

function withCall(at: number, fields: Partial<Call>): History {
  return { ...GOOD, calls: CALLS.map((call, i) => (i === at ? { ...call, ...fields } : call)) };
}

function andCall(call: Call): History {
  return { ...GOOD, calls: [...CALLS, call] };
}

function withFirst(fields: Partial<Final>): History {
  return { ...GOOD, leaves: [{ ...L1, ...fields }, L2] };
}

test("a history that keeps every promise is found to do so", () => {
  expect(violationsOf(GOOD)).toEqual([]);
});

test("a call without an answer may have happened or not", () => {
  const unknown: Call = { process: "a", op: "append", beginMs: 8, leafId: "l1", sessionId: "s1", epoch: 1, texts: ["a:9"] };
  expect(violationsOf(andCall(unknown))).toEqual([]);
  const there = { ...L1, log: log("queued", "running@1", "a:1", "a:9", "running@2", "b:1", "done") };
  expect(violationsOf({ calls: [...CALLS, unknown].filter(({ op }) => op !== "follow"), leaves: [there, L2] })).toEqual([]);
});

test("a submit that is made again keeps the leaf's place", () => {
  const again: Call = { process: "s", op: "submit", beginMs: 9, endMs: 10, answer: "ok", key: "k1", leafId: "l1" };
  expect(violationsOf(andCall(again))).toEqual([]);
});

const BAD: Readonly<Record<string, readonly [History, RegExp]>> = {
  "a submit is gone": [{ ...GOOD, leaves: [L1] }, /submit k2 was acknowledged and is gone/],
  "a submit is there under another leaf": [withFirst({ leafId: "l9" }), /submit k1 was acknowledged and is gone/],
  "a key leads to two leaves": [
    andCall({ process: "s", op: "submit", beginMs: 9, endMs: 9, answer: "ok", key: "k1", leafId: "l2" }),
    /told different/,
  ],
  "a submit made two leaves": [{ ...GOOD, leaves: [L1, L2, { ...L1, leafId: "l3", sessionId: "s2" }] }, /submit k1 made two leaves/],
  "a leaf is there that nobody submitted": [
    { ...GOOD, leaves: [L1, L2, { ...L2, leafId: "l3", key: "k3", sessionId: "s2" }] },
    /never submitted/,
  ],
  "two workers own one epoch": [withCall(5, { epoch: 1 }), /epoch 1 of s1 was owned twice/],
  "an old owner writes": [withCall(7, { answer: "ok" }), /append of a on l1 in epoch 1 was acknowledged behind the claim of epoch 2/],
  "an old owner's heartbeat is taken": [withCall(7, { op: "heartbeat", answer: "ok" }), /heartbeat of a .* behind the claim of epoch 2/],
  "a worker writes behind its own end": [
    andCall({ process: "b", op: "heartbeat", beginMs: 126, endMs: 127, answer: "ok", leafId: "l2", sessionId: "s1", epoch: 3 }),
    /behind the finish of its own claim/,
  ],
  "a leaf is taken from under a live lease": [withCall(3, { leaseMs: 500 }), /took a leaf from under a live lease/],
  "a leaf is finished twice": [
    andCall({ process: "a", op: "finish", beginMs: 119, endMs: 122, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 2, texts: ["hi"] }),
    /l1 was finished 2 times/,
  ],
  "a leaf is claimed behind its end": [
    andCall({ process: "a", op: "claim", beginMs: 130, endMs: 131, answer: "ok", leafId: "l1", sessionId: "s1", epoch: 4, leaseMs: 1 }),
    /l1 was claimed behind its end/,
  ],
  "a log has a gap": [withFirst({ log: L1.log.filter(({ seq }) => seq !== 3) }), /the log of l1 has a gap/],
  "a log has a number twice": [withFirst({ log: [...L1.log.slice(0, 3), ...L1.log.slice(2)] }), /the log of l1 has a gap or a double/],
  "an event is there twice": [
    withFirst({ log: log("queued", "running@1", "a:1", "a:1", "running@2", "b:1", "done") }),
    /a:1 is in the log of l1 twice/,
  ],
  "an acknowledged event is gone": [
    withFirst({ log: log("queued", "running@1", "running@2", "b:1", "done") }),
    /a:1 was acknowledged and is not/,
  ],
  "an event is there that nobody appended": [
    withFirst({ log: log("queued", "running@1", "a:1", "running@2", "b:1", "c:1", "done") }),
    /c:1 .* never appended/,
  ],
  "events are out of order": [withFirst({ log: log("queued", "running@1", "b:1", "running@2", "a:1", "done") }), /out of order/],
  "a claim is not in the log": [withFirst({ log: log("queued", "running@1", "a:1", "b:1", "done") }), /claim of epoch 2 is not in the log/],
  "a leaf never ends": [withFirst({ state: "running", log: L1.log.slice(0, 5) }), /l1 never ended/],
  "a leaf ends twice": [
    withFirst({ log: log("queued", "running@1", "a:1", "done", "running@2", "b:1", "done") }),
    /does not end as the leaf did/,
  ],
  "a leaf goes on behind its end": [withFirst({ log: log("queued", "running@1", "a:1", "running@2", "done", "b:1") }), /does not end as/],
  "a result is another than was acknowledged": [withFirst({ result: "ho" }), /another result/],
  "a follower misses an event": [withCall(2, { texts: ["1 queued", "3 a:1"] }), /f followed l1 and saw another log/],
  "a follower is told too early that it is the end": [withCall(2, { texts: ["1 queued"] }), /saw only a part/],
  "a later leaf of a session runs before an earlier one is over": [
    { ...GOOD, leaves: [{ ...L1, log: log("queued", "running@1", "a:1", "running@4", "b:1", "done") }, L2] },
    /l2 ran before l1 of its session was over/,
  ],
  "a later submit of a session runs first": [withCall(1, { beginMs: -2, endMs: -1 }), /l1 ran before l2, which was submitted earlier/],
};

test.each(Object.entries(BAD))("it is found when %s", (_, [history, message]) => {
  expect(violationsOf(history).join("\n")).toMatch(message);
});
