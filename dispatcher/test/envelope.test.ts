import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { gif, png as pngFile } from "@serverless-harness/kit/testing";
import { LeafKind, type LeafSpecSchema, type ListRequestSchema, ThinkingLevel } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { allEvents, openDoor, refusal } from "./support.ts";

type Spec = MessageInitShape<typeof LeafSpecSchema>;

const MIB = 1024 * 1024;
const png = (data = pngFile()) => ({ mediaType: "image/png", data });
/** A schema with so many others in each other. */
function deepSchema(depth: number): JsonObject {
  return depth === 0 ? { type: "object" } : { type: "object", properties: { a: deepSchema(depth - 1) } };
}

type BadSpec = readonly [what: string, spec: Spec, fields: readonly string[]];

const BAD_SPECS: readonly BadSpec[] = [
  ["a blank prompt", { prompt: " \n\t " }, ["spec.prompt"]],
  ["no prompt", {}, ["spec.prompt"]],
  ["a prompt over 1 MiB", { prompt: "x".repeat(MIB + 1) }, ["spec.prompt"]],
  ["a prompt over 1 MiB in bytes, not in characters", { prompt: "é".repeat(MIB / 2 + 1) }, ["spec.prompt"]],
  ["a tenant with a slash", { prompt: "p", tenant: "a/b" }, ["spec.tenant"]],
  ["a tenant of 129 characters", { prompt: "p", tenant: "a".repeat(129) }, ["spec.tenant"]],
  ["a session that starts with a dash", { prompt: "p", sessionId: "-a" }, ["spec.session_id"]],
  ["a session that climbs", { prompt: "p", sessionId: "../x" }, ["spec.session_id"]],
  ["a session that must exist and has no name", { prompt: "p", sessionMustExist: true }, ["spec.session_must_exist"]],
  ["a fork of no session", { prompt: "p", fork: {} }, ["spec.fork.session_id"]],
  ["a solve that forks", { prompt: "p", kind: LeafKind.SOLVE, fork: { sessionId: "s" } }, ["spec.kind"]],
  ["a fork at an entry with a space", { prompt: "p", fork: { sessionId: "s", entryId: "a b" } }, ["spec.fork.entry_id"]],
  [
    "a fork with a repository, onto a session that must exist",
    { prompt: "p", sessionId: "t", sessionMustExist: true, repository: { url: "/r" }, fork: { sessionId: "s" } },
    ["spec.session_must_exist", "spec.repository"],
  ],
  [
    "33 wanted labels of a sandbox",
    { prompt: "p", sandbox: { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ""])) } },
    ["spec.sandbox.labels"],
  ],
  ["a wanted label without a name", { prompt: "p", sandbox: { labels: { "": "x" } } }, ["spec.sandbox.labels[]"]],
  ["a wanted label with an escape", { prompt: "p", sandbox: { labels: { gpu: "\u001b[2J" } } }, ["spec.sandbox.labels[gpu]"]],
  ["a wanted label with a long value", { prompt: "p", sandbox: { labels: { gpu: "x".repeat(129) } } }, ["spec.sandbox.labels[gpu]"]],
  [
    "a wanted label with a long name",
    { prompt: "p", sandbox: { labels: { ["x".repeat(129)]: "" } } },
    [`spec.sandbox.labels[${"x".repeat(64)}]`],
  ],
  ["a session to be near that climbs", { prompt: "p", sandbox: { nearSessionId: "../x" } }, ["spec.sandbox.near_session_id"]],
  ["a gate without a tool", { prompt: "p", gates: { tools: [{ arguments: "rm" }] } }, ["spec.gates.tools[0].tool"]],
  ["a gate with half a pattern", { prompt: "p", gates: { tools: [{ tool: "bash", arguments: "(" }] } }, ["spec.gates.tools[0].arguments"]],
  ...["$rm", "a^b", "[]", "(?!)ls", "a\\b\\w"].map(
    (pattern): BadSpec => [
      `a gate with the pattern ${pattern}, which nothing matches`,
      { prompt: "p", gates: { tools: [{ tool: "bash", arguments: pattern }] } },
      ["spec.gates.tools[0].arguments"],
    ],
  ),
  ...["a\u001b]52;c;aGk=\u0007", "a\nstate  done", "a\u0000", "a\u009b2J", "a\u202eb", "a\u2028b"].flatMap((steering): BadSpec[] => [
    [`the label ${JSON.stringify(steering)}`, { prompt: "p", labels: { batch: steering } }, ["spec.labels[batch]"]],
    [`the model ${JSON.stringify(steering)}`, { prompt: "p", model: `m/${steering.replaceAll(/\s/g, "\u0007")}` }, ["spec.model"]],
  ]),
  [
    "a gate with a long pattern",
    { prompt: "p", gates: { tools: [{ tool: "*", arguments: "x".repeat(1025) }] } },
    ["spec.gates.tools[0].arguments"],
  ],
  ["33 gates", { prompt: "p", gates: { tools: Array.from({ length: 33 }, () => ({ tool: "bash" })) } }, ["spec.gates.tools"]],
  ["a gate that decides without a deadline", { prompt: "p", gates: { onDeadline: 1 } }, ["spec.gates.on_deadline"]],
  ["a gate with an unknown decision", { prompt: "p", gates: { deadlineMs: 1n, onDeadline: 9 as never } }, ["spec.gates.on_deadline"]],
  ["a gate with a deadline before it was asked", { prompt: "p", gates: { deadlineMs: -1n } }, ["spec.gates.deadline_ms"]],
  ["a held result of a turn", { prompt: "p", gates: { holdResult: true } }, ["spec.gates.hold_result"]],
  ["a leaf that says itself that it is unusable", { prompt: "p", unusable: "broken" }, ["spec.unusable"]],
  ["tool turns below 0", { prompt: "p", limits: { maxToolTurns: -1 } }, ["spec.limits.max_tool_turns"]],
  ["nine pictures", { prompt: "p", images: Array.from({ length: 9 }, () => png()) }, ["spec.images"]],
  ["pictures over 2 MiB together", { prompt: "p", images: [png(pngFile(1, 1, MIB)), png(pngFile(1, 1, MIB)), png()] }, ["spec.images"]],
  [
    "a picture of a kind that models don't take",
    { prompt: "p", images: [{ ...png(), mediaType: "image/tiff" }] },
    ["spec.images[0].media_type"],
  ],
  ["a picture that is another kind's", { prompt: "p", images: [png(), { ...png(), mediaType: "image/jpeg" }] }, ["spec.images[1].data"]],
  ["a picture that is cut short", { prompt: "p", images: [png(), png(pngFile(9, 9).subarray(0, -20))] }, ["spec.images[1].data"]],
  ["a picture with too many pixels", { prompt: "p", images: [png(pngFile(9000, 1))] }, ["spec.images[0].data"]],
  ["a picture of no pixels", { prompt: "p", images: [{ mediaType: "image/gif", data: gif(0, 0) }] }, ["spec.images[0].data"]],
  ["a picture without bytes", { prompt: "p", images: [{ mediaType: "image/png" }] }, ["spec.images[0].data"]],
  ["a solve of nothing", { prompt: "p", kind: LeafKind.SOLVE }, ["spec.repository"]],
  ["a solve of a repository without a url", { prompt: "p", kind: LeafKind.SOLVE, repository: { ref: "main" } }, ["spec.repository.url"]],
  ["a repository that is a word", { prompt: "p", repository: { url: "project" } }, ["spec.repository.url"]],
  ["a repository on an http address", { prompt: "p", repository: { url: "http://example.org/a" } }, ["spec.repository.url"]],
  ["a repository with a space", { prompt: "p", repository: { url: "https://example.org/a b" } }, ["spec.repository.url"]],
  ["a repository with a token in it", { prompt: "p", repository: { url: "https://x:token@example.org/a" } }, ["spec.repository.url"]],
  ["a repository with a user in it", { prompt: "p", repository: { url: "https://token@example.org/a" } }, ["spec.repository.url"]],
  ["a ref that is an option", { prompt: "p", repository: { url: "https://example.org/a", ref: "--x" } }, ["spec.repository.ref"]],
  ["a schema for a turn", { prompt: "p", outputSchema: { type: "object" } }, ["spec.output_schema"]],
  ["an input for a turn", { prompt: "p", input: { a: 1 } }, ["spec.input"]],
  ["a schema of an array", { prompt: "p", kind: LeafKind.TASK, outputSchema: { type: "array" } }, ["spec.output_schema.type"]],
  ["an empty schema", { prompt: "p", kind: LeafKind.TASK, outputSchema: {} }, ["spec.output_schema.type"]],
  [
    "a schema with a type and a pattern that there are not",
    {
      prompt: "p",
      kind: LeafKind.TASK,
      outputSchema: { type: "object", properties: { a: { type: "text" }, b: { type: "string", pattern: "(" } } },
    },
    ["spec.output_schema.properties.a.type", "spec.output_schema.properties.b.pattern"],
  ],
  [
    "a schema that refers to another place",
    { prompt: "p", kind: LeafKind.TASK, outputSchema: { type: "object", properties: { a: { $ref: "https://example.org/a" } } } },
    ["spec.output_schema.properties.a.$ref"],
  ],
  ["a schema that is too deep", { prompt: "p", kind: LeafKind.TASK, outputSchema: deepSchema(12) }, ["spec.output_schema"]],
  ["an input with a number that is not kept exactly", { prompt: "p", kind: LeafKind.TASK, input: { a: [2 ** 53] } }, ["spec.input.a[0]"]],
  ["an input that is too deep", { prompt: "p", kind: LeafKind.TASK, input: deepSchema(12) }, ["spec.input"]],
  [
    "a schema over 64 KiB",
    { prompt: "p", kind: LeafKind.TASK, outputSchema: { type: "object", description: "x".repeat(64 * 1024) } },
    ["spec.output_schema"],
  ],
  ["an input over 1 MiB", { prompt: "p", kind: LeafKind.TASK, input: { a: "x".repeat(MIB) } }, ["spec.input"]],
  ["a thinking level of the future", { prompt: "p", thinking: 77 as ThinkingLevel }, ["spec.thinking"]],
  ["negative tokens", { prompt: "p", limits: { maxTokens: -1n } }, ["spec.limits.max_tokens"]],
  ["a negative cost", { prompt: "p", limits: { maxCostMicroUsd: -1n } }, ["spec.limits.max_cost_micro_usd"]],
  ["a cost that no number holds", { prompt: "p", limits: { maxCostMicroUsd: 2n ** 60n } }, ["spec.limits.max_cost_micro_usd"]],
  ["a kind of the future", { prompt: "p", kind: 77 as LeafKind }, ["spec.kind"]],
  ["a model without a provider", { prompt: "p", model: "sonnet" }, ["spec.model"]],
  ["a model without a name", { prompt: "p", model: "anthropic/" }, ["spec.model"]],
  ["a model with a space", { prompt: "p", model: "anthropic/a b" }, ["spec.model"]],
  ["negative model calls", { prompt: "p", limits: { maxModelCalls: -1 } }, ["spec.limits.max_model_calls"]],
  ["a negative deadline", { prompt: "p", limits: { deadlineMs: -1n } }, ["spec.limits.deadline_ms"]],
  ["a priority over 100", { prompt: "p", priority: 101 }, ["spec.priority"]],
  ["a priority below -100", { prompt: "p", priority: -101 }, ["spec.priority"]],
  ["21 attempts", { prompt: "p", retry: { maxAttempts: 21 } }, ["spec.retry.max_attempts"]],
  ["-1 attempts", { prompt: "p", retry: { maxAttempts: -1 } }, ["spec.retry.max_attempts"]],
  ["a negative first wait", { prompt: "p", retry: { baseDelayMs: -1n } }, ["spec.retry.base_delay_ms"]],
  ["an endless longest wait", { prompt: "p", retry: { maxDelayMs: 2n ** 62n } }, ["spec.retry.max_delay_ms"]],
  ["instructions over 64 KiB", { prompt: "p", systemPrompt: "x".repeat(64 * 1024 + 1) }, ["spec.system_prompt"]],
  ["33 labels", { prompt: "p", labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, ""])) }, ["spec.labels"]],
  ["an empty label key", { prompt: "p", labels: { "": "v" } }, ["spec.labels[]"]],
  ["a label key with a space", { prompt: "p", labels: { "a b": "v" } }, ["spec.labels[a b]"]],
  ["a label key of 64 characters", { prompt: "p", labels: { ["k".repeat(64)]: "v" } }, [`spec.labels[${"k".repeat(64)}]`]],
  ["a label value of 257 characters", { prompt: "p", labels: { team: "v".repeat(257) } }, ["spec.labels[team]"]],
  [
    "everything wrong at once",
    {
      tenant: ".",
      sessionId: "a b",
      kind: LeafKind.SOLVE,
      model: "m",
      limits: { maxModelCalls: -1, deadlineMs: -1n },
      labels: { "?": "" },
    },
    [
      "spec.tenant",
      "spec.session_id",
      "spec.repository",
      "spec.prompt",
      "spec.model",
      "spec.labels[?]",
      "spec.limits.max_model_calls",
      "spec.limits.deadline_ms",
    ],
  ],
];

const BAD_LISTS: ReadonlyArray<readonly [what: string, request: MessageInitShape<typeof ListRequestSchema>, fields: readonly string[]]> = [
  ["a page of 1001", { pageSize: 1001 }, ["page_size"]],
  ["a negative page", { pageSize: -1 }, ["page_size"]],
  ["an unnamed state", { states: [0] }, ["states[0]"]],
  ["a state of the future", { states: [6, 99 as 6] }, ["states[1]"]],
  ["a bad tenant, session and label", { tenant: "/", sessionId: "/", labels: { "/?": "" } }, ["tenant", "session_id", "labels[/?]"]],
];

describe("a leaf that can't be taken", () => {
  test.each(BAD_SPECS)("because of %s is refused with the fields that are wrong", async (_what, spec, fields) => {
    const { leaves, store } = await openDoor();
    const refused = await refusal(leaves.submit({ spec }));
    expect(refused).toMatchObject({ code: Code.InvalidArgument, reason: "invalid_argument" });
    expect(refused.violations.map((violation) => violation.field)).toEqual(fields);
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });

  test("is refused by Run as by Submit", async () => {
    const { leaves } = await openDoor();
    const refused = await refusal(allEvents(leaves.run({ spec: { prompt: "" }, idempotencyKey: "k".repeat(257) })));
    expect(refused.violations.map((violation) => violation.field)).toEqual(["idempotency_key", "spec.prompt"]);
  });

  test("is refused where there is no spec at all", async () => {
    const { leaves } = await openDoor();
    expect((await refusal(leaves.submit({}))).violations.map((violation) => violation.field)).toEqual(["spec"]);
  });

  test("is refused where its session must exist and does not", async () => {
    const { leaves } = await openDoor();
    const refused = await refusal(leaves.submit({ spec: { prompt: "p", sessionId: "nobody", sessionMustExist: true } }));
    expect(refused).toMatchObject({ code: Code.NotFound, reason: "session_not_found" });
  });

  test("is refused over 4 MiB", async () => {
    const { leaves } = await openDoor();
    expect((await refusal(leaves.submit({ spec: { prompt: "x".repeat(5 * MIB) } }))).code).toBe(Code.ResourceExhausted);
  });
});

describe("a leaf that can just be taken", () => {
  test.each<readonly [string, Spec]>([
    ["a prompt of 1 MiB", { prompt: "x".repeat(MIB) }],
    ["names of 128 characters", { prompt: "p", tenant: "a".repeat(128), sessionId: "_".repeat(128) }],
    ["a model with slashes", { prompt: "p", model: "openrouter/meta/llama-4" }],
    ["a task with the verdict for its result", { prompt: "p", kind: LeafKind.TASK, input: { list: [1, null, "a"] } }],
    [
      "a task with a schema at the greatest depth",
      { prompt: "p", kind: LeafKind.TASK, outputSchema: deepSchema(11), input: deepSchema(11) },
    ],
    [
      "a task with a schema that refers to itself below a property",
      { prompt: "p", kind: LeafKind.TASK, outputSchema: { type: "object", properties: { next: { $ref: "#" } } } },
    ],
    ["a solve of a branch", { prompt: "p", kind: LeafKind.SOLVE, repository: { url: "https://example.org/a.git", ref: "main" } }],
    ["a solve over ssh", { prompt: "p", kind: LeafKind.SOLVE, repository: { url: "git@example.org:a/b.git" } }],
    ["a turn on a repository in the sandbox", { prompt: "p", repository: { url: "/srv/repositories/a" } }],
    ["much thinking", { prompt: "p", thinking: ThinkingLevel.HIGH }],
    ["limits on tokens and cost", { prompt: "p", limits: { maxTokens: 1n, maxCostMicroUsd: 10_000_000_000n } }],
    ["limits and waits of 0", { prompt: "p", limits: {}, retry: {} }],
    ["20 attempts and long waits", { prompt: "p", retry: { maxAttempts: 20, maxDelayMs: 31_536_000_000n } }],
    ["instructions of 64 KiB", { prompt: "p", systemPrompt: "x".repeat(64 * 1024) }],
    [
      "32 labels with keys of 63",
      { prompt: "p", labels: Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`${i}`.padEnd(63, "k"), ""])) },
    ],
    ["a label value of 256 characters beyond the first plane", { prompt: "p", labels: { "a/b.c_d-e": "𝄞".repeat(256) } }],
  ])("has %s", async (_what, spec) => {
    const { leaves } = await openDoor();
    const { leaf, created } = await leaves.submit({ spec, idempotencyKey: "k".repeat(256) });
    expect(created).toBe(true);
    expect(leaf?.spec).toMatchObject({ prompt: spec.prompt, tenant: spec.tenant ?? "default", kind: spec.kind ?? LeafKind.TURN });
    expect(leaf?.spec?.sessionId).not.toBe("");
  });
});

describe("other requests that can't be served", () => {
  test.each(BAD_LISTS)("List with %s names the fields", async (_what, request, fields) => {
    const { leaves } = await openDoor();
    const refused = await refusal(leaves.list(request));
    expect(refused.code).toBe(Code.InvalidArgument);
    expect(refused.violations.map((violation) => violation.field)).toEqual(fields);
  });

  test("List with a page token that is not ours is INVALID_ARGUMENT", async () => {
    const { leaves } = await openDoor();
    expect((await refusal(leaves.list({ pageToken: "?" }))).code).toBe(Code.InvalidArgument);
  });

  test("Get and Watch want an id, and NOT_FOUND tells that it is unknown", async () => {
    const { leaves } = await openDoor();
    expect((await refusal(leaves.get({}))).violations.map((violation) => violation.field)).toEqual(["leaf_id"]);
    expect(await refusal(leaves.get({ leafId: "leaf_nope" }))).toMatchObject({ code: Code.NotFound, reason: "leaf_not_found" });
    const noSeq = await refusal(allEvents(leaves.watch({ afterSeq: -1n })));
    expect(noSeq.violations.map((violation) => violation.field)).toEqual(["leaf_id", "after_seq"]);
    const unknown = await refusal(allEvents(leaves.watch({ leafId: "leaf_nope" })));
    expect(unknown).toMatchObject({ code: Code.NotFound, reason: "leaf_not_found" });
  });
});
