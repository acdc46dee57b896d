import * as fc from "fast-check";
import { plant, type Tree } from "./plants.ts";
import { misfit, text } from "./texts.ts";

const ITEM = { item_id: "i1", file: "a.py", pattern: "eval(" };
const DECISION = { gateId: 0, action: "approve", feedback: "go on" };

/** Bodies that are taken: of `/turn`, of both generations of `/runs`, of solves, of `/wake`. */
const WHOLE: ReadonlyArray<Readonly<Record<string, Tree>>> = [
  { prompt: "p" },
  { prompt: "p", sessionId: plant("ownSessionId") },
  { prompt: "p", sessionId: plant("sessionId") },
  { sessionId: "run/i1", item: ITEM },
  { sessionId: plant("sessionId"), item: ITEM, async: true },
  { sessionId: plant("sessionId"), item: { ...ITEM, require_approval: true }, decision: DECISION },
  { sessionId: "run/i2", item: ITEM, tenant: plant("tenant"), async: true },
  { sessionId: "run/f1", inputsRef: plant("inputsRef"), resultRef: plant("resultRef") },
  { sessionId: "run/f2", inputsRef: plant("inputsRef"), resultRef: plant("ownResultRef"), async: true },
  { sessionId: "run/f3", item: ITEM, inputsRef: "/etc/passwd", resultRef: plant("resultRef"), doneMarkerRef: plant("resultRef") },
  { sessionId: "run/f4", inputsRef: plant("ownResultRef"), resultRef: plant("ownResultRef"), decisionRef: plant("inputsRef") },
  { sessionId: "run/s1", kind: "solve", problemStatement: "p", repoUrl: "https://example.invalid/a.git", ref: "main", async: true },
  { leafId: plant("leafAsking"), wakeKey: "k" },
];
const FIELDS = [
  ...["prompt", "sessionId", "item", "kind", "workspaceRef", "repoUrl", "ref", "model", "provider", "maxTurns", "async", "tenant"],
  ...["decision", "inputsRef", "resultRef", "doneMarkerRef", "gateRef", "decisionRef", "env_key", "problemStatement", "leafId", "wakeKey"],
];

/** A body that is taken, with a few fields left out, of another type, too long, or unexpected. */
export const runBody: fc.Arbitrary<Tree> = fc
  .tuple(fc.constantFrom(...WHOLE), fc.subarray(FIELDS, { maxLength: 2 }), fc.subarray(FIELDS, { maxLength: 1 }))
  .chain(([whole, changed, dropped]) =>
    fc.tuple(...changed.map((name) => fc.tuple(fc.constant(name), value(name)))).map((pairs) => {
      const body: Record<string, Tree> = { ...whole, ...Object.fromEntries(pairs) };
      for (const name of dropped) delete body[name];
      return body;
    }),
  );

function value(name: string): fc.Arbitrary<Tree> {
  const parts = { item: { ...ITEM, require_approval: true } as Tree, decision: DECISION as Tree }[name];
  if (parts !== undefined) return fc.oneof(misfit, fc.constant(parts), changed(parts as Record<string, Tree>));
  return fc.oneof({ arbitrary: text(name) as fc.Arbitrary<Tree>, weight: 3 }, { arbitrary: misfit, weight: 1 });
}

/** An object with one of its fields as nobody expects it. */
function changed(whole: Readonly<Record<string, Tree>>): fc.Arbitrary<Tree> {
  return fc.tuple(fc.constantFrom(...Object.keys(whole)), fc.oneof(misfit, text("x"))).map(([name, odd]) => ({ ...whole, [name]: odd }));
}
