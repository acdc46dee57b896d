import * as fc from "fast-check";
import { plant, type Tree } from "./plants.ts";

/** Names of the other tenant's things, as `furnish` calls them. */
export const FOREIGN = [
  "tenant",
  "leafGone",
  "leafDone",
  "leafFailed",
  "leafAsking",
  "sessionId",
  "scheduleId",
  "gateId",
  "idempotencyKey",
  "messageId",
  "tokenId",
  "sandbox",
  "resultRef",
  "inputsRef",
] as const;

/** The caller's own things, so that calls get further than the first look-up. */
export const OWN = [
  "ownLeafDone",
  "ownLeafFailed",
  "ownLeafAsking",
  "ownGateId",
  "ownSessionId",
  "ownScheduleId",
  "ownSandbox",
  "ownResultRef",
] as const;

const anyForeign = fc.constantFrom(...FOREIGN.map(plant));
const LEAVES = ["leafGone", "leafDone", "leafFailed", "leafAsking", "ownLeafDone", "ownLeafFailed", "ownLeafAsking"].map(plant);
const FILES = ["resultRef", "inputsRef", "ownResultRef"].map(plant);

/** What a field's name says that it holds. */
const LIKELY: ReadonlyArray<readonly [name: RegExp, values: readonly string[]]> = [
  [/^leaf_?id$|^id$/i, LEAVES],
  [/session_?id$/i, ["sessionId", "ownSessionId"].map(plant)],
  [/schedule_?id$/i, ["scheduleId", "ownScheduleId"].map(plant)],
  [/gate_?id$/i, ["gateId", "ownGateId"].map(plant)],
  [/token_?id$/i, [plant("tokenId")]],
  [/^name$/i, ["sandbox", "ownSandbox"].map(plant)],
  [/message_?id$/i, [plant("messageId")]],
  [/idempotency/i, [plant("idempotencyKey")]],
  [/^tenant$/i, [plant("tenant"), ""]],
  [/(?:ref|marker)$/i, FILES],
  [/^cron$/i, ["* * * * * *", "0 0 30 2 *", "@daily", "61 * * * *", "*/0 * * * *"]],
  [/zone$/i, ["Europe/Berlin", "Mars/Olympus"]],
  [/^scopes$/i, ["leaves:read", "schedules:*", "admin", "leaves:everything"]],
  [/url$/i, ["https://example.invalid/a.git", "file:///etc", "http://127.0.0.1:1/", "ssh://a:b@c/d"]],
  [/page_?token$/i, ["bGVhZiAxIA", "W10"]],
];

/** Text as nobody expects it. */
const odd = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    ".",
    "..",
    "-",
    "a/../../b",
    "__proto__",
    "constructor",
    "\0",
    "a\nb",
    "%2e%2e%2f",
    "\ud800",
    "\u202e",
    "(a+)+$",
    "{{x}}",
  ),
  fc.constantFrom("9".repeat(30), "NaN", "-1", "true", "null", "[]", "2026-11-30T00:00:00Z"),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.integer({ min: 100, max: 6000 }).map((length) => "x".repeat(length)),
);

/** A text for the field of this name. */
export function text(name: string): fc.Arbitrary<string> {
  const likely = LIKELY.find(([pattern]) => pattern.test(name))?.[1] ?? ["p", "a-name", "default"];
  return fc.oneof(
    { arbitrary: fc.constantFrom(...likely), weight: 6 },
    { arbitrary: anyForeign, weight: 2 },
    {
      arbitrary: fc
        .tuple(fc.constantFrom("", "../", "/", "a"), anyForeign, fc.constantFrom("", "/", "/..", "\0"))
        .map((parts) => parts.join("")),
      weight: 1,
    },
    { arbitrary: odd, weight: 2 },
  );
}

/** A value of any type, for a field of another. */
export const misfit: fc.Arbitrary<Tree> = fc.oneof(
  fc.constantFrom<Tree>(null, true, false, 0, -1, 1.5, 1e308, "", "x", [], {}, [[]], { a: { b: {} } }, [null], { __proto__: null }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  anyForeign,
  fc.array(anyForeign, { maxLength: 2 }),
);

/** The name of an entry. */
export const key: fc.Arbitrary<string> = fc.oneof(fc.constantFrom("a", "b", "type", "$ref"), odd);

/** JSON as somebody may put it into a free field. */
export const json: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    misfit,
    fc.array(tie("tree"), { maxLength: 3 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 3 }),
  ),
})).tree;
