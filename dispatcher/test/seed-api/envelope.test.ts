import { describe, expect, test } from "vitest";
import { type Body, openRuns } from "./runs.ts";

const REVIEW = { sessionId: "s", item: { item_id: "i1", file: "risky.py", pattern: "eval(" } };
const SOLVE = { sessionId: "s", kind: "solve", problemStatement: "mend it", repoUrl: "https://example.org/r.git", ref: "main" };
const REFUSED = { status: 400, body: { error: "envelope_invalid", message: expect.stringMatching(/\w/) } };
const WRONG = [undefined, null, 7, true, ["a"], { a: 1 }];

function without(body: Body, path: string): Body {
  return replaced(body, path, undefined);
}

function replaced(body: Body, path: string, value: unknown): Body {
  const [name = "", ...rest] = path.split(".");
  return { ...body, [name]: rest.length === 0 ? value : replaced(body[name] as Body, rest.join("."), value) };
}

describe("an envelope is refused, and nothing is made of it,", () => {
  const cases: Array<[string, Body | string]> = [
    ["that is not JSON", "{"],
    ["that is empty", ""],
    ["that is null", "null"],
    ["that is a number", "5"],
    ["that is a list", "[]"],
    ["that is a text", '"run"'],
    ["of nothing", {}],
    ["of solve without anything else", { sessionId: "s", kind: "solve" }],
    ["of another kind without an item", { sessionId: "s", kind: "review" }],
    ...["sessionId", "item.item_id", "item.file", "item.pattern", "item"].flatMap((path) =>
      WRONG.map((value): [string, Body] => [`whose ${path} is ${JSON.stringify(value)}`, replaced(REVIEW, path, value)]),
    ),
    ...["sessionId", "problemStatement", "repoUrl", "ref"].flatMap((path) =>
      WRONG.map((value): [string, Body] => [`of solve whose ${path} is ${JSON.stringify(value)}`, replaced(SOLVE, path, value)]),
    ),
    ...["tenant", "workspaceRef", "repoUrl", "ref", "model", "provider"].flatMap((path) =>
      [7, true, ["a"]].map((value): [string, Body] => [`whose ${path} is ${JSON.stringify(value)}`, replaced(REVIEW, path, value)]),
    ),
    ["whose env_key is no text", { ...SOLVE, env_key: 7 }],
    ["whose sessionId is too long", { ...REVIEW, sessionId: "s".repeat(1025) }],
    ["whose tenant is too long", { ...REVIEW, tenant: "t".repeat(129) }],
    ["whose pattern is too long", replaced(REVIEW, "item.pattern", "p".repeat(65_537))],
    ["whose file is too long", replaced(REVIEW, "item.file", "f".repeat(4097))],
    ["whose item_id is too long", replaced(REVIEW, "item.item_id", "i".repeat(4097))],
    ["whose workspaceRef is too long", { ...REVIEW, workspaceRef: "/".repeat(4097) }],
    ["whose problem is too long", { ...SOLVE, problemStatement: "p".repeat(1024 * 1024 + 1) }],
    ["whose feedback is too long", { ...REVIEW, decision: { gateId: 0, action: "approve", feedback: "f".repeat(65_537) } }],
    ["whose sessionId is half a character", '{"sessionId":"\\ud800","item":{"item_id":"i","file":"f","pattern":"p"}}'],
    ["whose model is no name", { ...REVIEW, model: "a b" }],
    ["whose repository is no address", { ...SOLVE, repoUrl: "not an address" }],
    ["whose repository holds a password", { ...SOLVE, repoUrl: "https://me:secret@example.org/r.git" }],
    ["whose ref is an option", { ...SOLVE, ref: "--upload-pack=x" }],
    ["with an empty sessionId", { ...REVIEW, sessionId: "" }],
  ];
  test.each(cases)("%s", async (_what, body) => {
    const { run, store } = await openRuns();
    expect(await run(body)).toMatchObject(REFUSED);
    if (typeof body !== "string") expect(await run({ ...body, async: true })).toMatchObject(REFUSED);
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });
});

test("what is wrong is told by the envelope's own names, all of it at once", async () => {
  const { run } = await openRuns();
  const { body } = await run({ ...without(SOLVE, "ref"), sessionId: 7, model: true });
  expect((body["fields"] as Array<{ field: string }>).map(({ field }) => field)).toEqual(["sessionId", "ref", "model"]);
  const refused = await run({ ...SOLVE, repoUrl: "nowhere", ref: "-x", provider: "a b" });
  expect((refused.body["fields"] as Array<{ field: string }>).map(({ field }) => field).sort()).toEqual(["model", "ref", "repoUrl"]);
});

test("a body over 4 MiB is refused as such", async () => {
  const { run } = await openRuns();
  expect(await run(JSON.stringify({ ...REVIEW, pad: "x".repeat(4 * 1024 * 1024) }))).toMatchObject({ status: 413 });
});

test.each([
  ["unknown fields", { ...REVIEW, hello: "world" }],
  ["another kind beside a valid item", { ...REVIEW, kind: "anything" }],
  ["kind solve beside a valid item", { ...REVIEW, kind: "solve" }],
  ["nulls for what may be left out", { ...REVIEW, tenant: null, model: null, provider: null, workspaceRef: null, decision: null }],
  ["empty texts for what may be left out", { ...REVIEW, tenant: "", model: "", provider: "", repoUrl: "", ref: "" }],
  ["empty texts in the item", { ...REVIEW, item: { item_id: "", file: "", pattern: "" } }],
])("an envelope is taken with %s", async (_what, body) => {
  const { run } = await openRuns();
  expect(await run({ ...body, async: true })).toMatchObject({ status: 202, body: { status: "accepted", sessionId: "s" } });
});
