import { create } from "@bufbuild/protobuf";
import { png } from "@serverless-harness/kit/testing";
import { FailureReason, ImageSchema, type Leaf, LeafState, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { answer, type Behaviour, begin, block, refuse, rogueModel, START, sse, stop, text, tool } from "./fixtures/rogue-model.ts";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const KEY = "sk-ant-not-for-anybody";
const SILENCE_MS = 2500;

const cut =
  (part: string): Behaviour =>
  (response) => {
    begin(response, part);
    setTimeout(() => response.destroy(), 20);
  };
const silent =
  (part: string): Behaviour =>
  (response) =>
    begin(response, part);
const half = sse(START, ...text("Half of wh").slice(0, 2));
const halfCall = sse(START, ...tool("bash", '{"command": "echo ne').slice(0, 2));

/** Behind a first answer that is wrong in some way, one that is right. */
const first =
  (wrong: Behaviour): Behaviour =>
  (response, request, body) =>
    (request === 0 ? wrong : answer(START, ...text("recovered"), ...stop("end_turn")))(response, request, body);

type Row = readonly [what: string, behaviour: Behaviour, reason: FailureReason, retryable: boolean, message: RegExp];
const { MODEL_UNAVAILABLE, MODEL_REFUSED, BAD_INPUTS, OUTPUT_LIMIT } = FailureReason;
const HALF = '{"command": "echo made';
const WHOLE = '{"command": "echo made > made"}';
const thoughts = block(0, { type: "thinking", thinking: "" }, { type: "thinking_delta", thinking: "Hm." });
/** The model's own limit of output, and its window. */
const [LIMIT, WINDOW] = [64_000, 1_000_000];

const FAILURES: readonly Row[] = [
  ["429", refuse(429, "rate_limit_error", "slow down"), MODEL_UNAVAILABLE, true, /HTTP 429: slow down/],
  ["500", refuse(500, "api_error", "oops"), MODEL_UNAVAILABLE, true, /HTTP 500: oops/],
  [
    "502 in HTML",
    (r) => r.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad Gateway</h1>"),
    MODEL_UNAVAILABLE,
    true,
    /HTTP 502/,
  ],
  ["503", refuse(503, "api_error", "no"), MODEL_UNAVAILABLE, true, /HTTP 503/],
  ["529", refuse(529, "overloaded_error", "Overloaded"), MODEL_UNAVAILABLE, true, /HTTP 529: Overloaded/],
  ["cut in front of its head", (r) => r.destroy(), MODEL_UNAVAILABLE, true, /can't be reached/],
  ["cut in front of the first byte", cut(""), MODEL_UNAVAILABLE, true, /broke off/],
  ["cut in a text", cut(half), MODEL_UNAVAILABLE, true, /broke off/],
  ["cut in a call", cut(halfCall), MODEL_UNAVAILABLE, true, /broke off/],
  ["silence in front of its head", () => undefined, MODEL_UNAVAILABLE, true, /sent nothing for 2\.5 s/],
  ["silence in front of the first byte", silent(""), MODEL_UNAVAILABLE, true, /sent nothing for 2\.5 s/],
  ["silence in a text", silent(half), MODEL_UNAVAILABLE, true, /sent nothing for 2\.5 s/],
  ["silence in a call", silent(halfCall), MODEL_UNAVAILABLE, true, /sent nothing for 2\.5 s/],
  [
    "an error in the stream",
    answer(START, { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }),
    MODEL_UNAVAILABLE,
    true,
    /broke off: Overloaded/,
  ],
  [
    "a page with status 200",
    (r) => r.writeHead(200, { "content-type": "text/html" }).end("<h1>Maintenance</h1>"),
    MODEL_UNAVAILABLE,
    true,
    /broke off/,
  ],
  [
    "no events",
    (r) => r.writeHead(200, { "content-type": "text/event-stream" }).end("event: message_start\ndata: {oops\n\n"),
    MODEL_UNAVAILABLE,
    true,
    /broke off/,
  ],
  [
    "a key that is refused",
    refuse(401, "authentication_error", `invalid key ${KEY}`),
    MODEL_UNAVAILABLE,
    false,
    /credentials \(HTTP 401\)/,
  ],
  ["a key without permission", refuse(403, "permission_error", `not for ${KEY}`), MODEL_UNAVAILABLE, false, /credentials \(HTTP 403\)/],
  ["an unknown model", refuse(404, "not_found_error", "model: m"), MODEL_UNAVAILABLE, false, /HTTP 404: model: m/],
  ["a setting that it does not like", refuse(400, "invalid_request_error", "max_tokens: wrong"), MODEL_UNAVAILABLE, false, /HTTP 400/],
  [
    "a conversation that it does not take",
    refuse(400, "invalid_request_error", "messages.0.content.0: wrong"),
    BAD_INPUTS,
    false,
    /does not take the conversation: messages\.0\.content\.0: wrong\. Start a new session/,
  ],
  [
    "an account without money",
    refuse(400, "invalid_request_error", "Your credit balance is too low"),
    MODEL_UNAVAILABLE,
    false,
    /credit balance/,
  ],
  [
    "too long",
    refuse(400, "invalid_request_error", "prompt is too long: 213462 tokens > 200000 maximum"),
    BAD_INPUTS,
    false,
    /does not fit/,
  ],
  ["cut by the window", answer(START, ...text("And s"), ...stop("max_tokens", 5, WINDOW - 6000)), BAD_INPUTS, false, /does not fit/],
  [
    "cut at its limit again and again",
    answer(START, ...text("And s"), ...stop("max_tokens", 7)),
    OUTPUT_LIMIT,
    false,
    /4 times in a row, last at 7 tokens/,
  ],
  [
    "cut in a call again and again",
    answer(START, ...tool("bash", HALF), ...stop("max_tokens", 7)),
    OUTPUT_LIMIT,
    false,
    /4 times in a row, last at 7 tokens/,
  ],
  ["a refusal", answer(START, ...text("I will n"), ...stop("refusal")), MODEL_REFUSED, false, /the model refused/],
];

const CALLS: ReadonlyArray<readonly [what: string, behaviour: Behaviour, told: RegExp]> = [
  ["a tool that is none", first(answer(START, ...tool("nope", "{}"), ...stop("tool_use"))), /nope/],
  ["an argument that is missing", first(answer(START, ...tool("bash", "{}"), ...stop("tool_use"))), /command/],
  ["an argument of another kind", first(answer(START, ...tool("bash", '{"command": {"a": 1}}'), ...stop("tool_use"))), /command/],
  ["a call that was cut at the limit", first(answer(START, ...tool("bash", HALF), ...stop("max_tokens", LIMIT))), /output token limit/],
  ["a call that was cut below the limit", first(answer(START, ...tool("bash", HALF), ...stop("max_tokens", 5))), /output token limit/],
  ["a whole call in front of a cut", first(answer(START, ...tool("bash", WHOLE), ...stop("max_tokens", 5))), /output token limit/],
];

const CUT: ReadonlyArray<readonly [what: string, behaviour: Behaviour, text: string]> = [
  ["a text far below the limit", first(answer(START, ...text("And s"), ...stop("max_tokens", 5))), "And srecovered"],
  ["a text at the limit", first(answer(START, ...text("And s"), ...stop("max_tokens", LIMIT))), "And srecovered"],
  ["thoughts alone that came to the limit", first(answer(START, ...thoughts, ...stop("max_tokens", 5))), "recovered"],
];

const NO_ANSWER = "(The model ended without an answer, also when it was asked once more.)";
const EMPTY: ReadonlyArray<readonly [what: string, behaviour: Behaviour, text: string]> = [
  ["nothing once", first(answer(START, ...stop("end_turn"))), "recovered"],
  ["thoughts alone once", first(answer(START, ...thoughts, ...stop("end_turn"))), "recovered"],
  ["nothing ever", answer(START, ...stop("end_turn")), NO_ANSWER],
  ["thoughts alone ever", answer(START, ...thoughts, ...stop("end_turn")), NO_ANSWER],
  ["blanks ever", answer(START, ...text(" \n"), ...stop("end_turn")), NO_ANSWER],
];

const wait = (header: string, value: string): Behaviour => refuse(429, "rate_limit_error", "wait", { [header]: value });
const TOO_LONG: ReadonlyArray<readonly [what: string, behaviour: Behaviour, told: RegExp]> = [
  ["a date in another century", wait("retry-after", new Date("2100-01-01").toUTCString()), /until 2100-01-01T00:00/],
  ["a number of seconds", wait("retry-after", "99999999999"), /asked to wait 99999999999 s .*more than the 60 minutes that a leaf waits/],
  ["a number that has no end", wait("retry-after", "1e999"), /asked to wait \d+ s/],
  ["many milliseconds", wait("retry-after-ms", "3600001"), /asked to wait 3601 s/],
];

let pictureRequests = 0;
const LONGER = 4000;
const rogue = rogueModel({
  ...Object.fromEntries([...FAILURES, ...CALLS, ...CUT, ...EMPTY, ...TOO_LONG].map(([what, behaviour]) => [what, behaviour])),
  "a picture that it does not take": (response, request, body) => {
    const told = /left out since[^\]]*/.exec(body)?.[0] ?? "nothing";
    if (!body.includes('"type":"image"')) return answer(START, ...text(`I saw: ${told}`), ...stop("end_turn"))(response, request, body);
    pictureRequests++;
    refuse(400, "invalid_request_error", "messages.0.content.1.image: Could not process image")(response, request, body);
  },
  "a wait in seconds": first(refuse(429, "rate_limit_error", "wait", { "retry-after": "4" })),
  "a wait until a date": first((...request) =>
    refuse(429, "rate_limit_error", "wait", { "retry-after": new Date(Date.now() + LONGER + 1000).toUTCString() })(...request),
  ),
});
const shared = machines();
const once = create(RetryPolicySchema, { maxAttempts: 1 });
const settings = () => ({
  ANTHROPIC_BASE_URL: rogue().url,
  ANTHROPIC_AUTH_TOKEN: KEY,
  BRAIN_MODEL_SILENCE_MS: String(SILENCE_MS),
  BRAIN_LEASE_MS: "60000",
  LOG_LEVEL: "debug",
});
const house = resident(shared, settings);

/** All that is known of a leaf, and what its brain logged. */
async function allSaid(stack: Stack, leaf: Leaf): Promise<string> {
  const text = (value: unknown) => JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part));
  return text(await stack.get(leaf)) + text(await stack.events(leaf)) + text(house.brain.log);
}

describe("a model that fails makes no result", () => {
  test.concurrent.each(FAILURES)("%s", async (what, _behaviour, reason, retryable, message) => {
    const { stack } = house;
    const leaf = await stack.submit(`<${what}>`, { retry: once });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, claims: 1, failure: { reason, retryable } });
    expect(ended.failure?.message).toMatch(message);
    expect(ended.failure?.message.length).toBeLessThan(700);
    expect(ended.result).toBeUndefined();
    expect(await allSaid(stack, leaf)).not.toContain(KEY);
  });

  test("nobody listens", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit("hello", { retry: once });
    stack.brain({ ...settings(), ANTHROPIC_BASE_URL: "http://127.0.0.1:9" });
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: MODEL_UNAVAILABLE, retryable: true });
  });
});

describe("a call that can't be made is told to the model, which goes on:", () => {
  test.concurrent.each(CALLS)("%s", async (what, _behaviour, told) => {
    const { stack } = house;
    const leaf = await stack.submit(`<${what}>`, { retry: once });
    const ended = await stack.ended(leaf);
    const ends = await stack.eventsOf(leaf, "toolEnded");
    expect(ended.failure).toBeUndefined();
    expect(ended).toMatchObject({ state: LeafState.DONE, result: { text: "recovered" }, usage: { modelCalls: 2 } });
    expect(ends.map(({ isError }) => isError)).toEqual([true]);
    expect(ends[0]?.text).toMatch(told);
  });
});

describe("an answer that is cut at the output limit is gone on with, and its pieces are one result:", () => {
  test.concurrent.each(CUT)("%s", async (what, _behaviour, said) => {
    const { stack } = house;
    const ended = await stack.ended(await stack.submit(`<${what}>`, { retry: once }));
    expect(ended.failure).toBeUndefined();
    expect(ended).toMatchObject({ state: LeafState.DONE, result: { text: said }, usage: { modelCalls: 2 } });
  });
});

describe("a model that says nothing is asked once more, and the result says so where that does not help:", () => {
  test.concurrent.each(EMPTY)("%s", async (what, _behaviour, said) => {
    const { stack } = house;
    const ended = await stack.ended(await stack.submit(`<${what}>`, { retry: once }));
    expect(ended.failure).toBeUndefined();
    expect(ended).toMatchObject({ state: LeafState.DONE, result: { text: said }, usage: { modelCalls: 2 } });
  });
});

describe("what a provider refuses of a conversation", () => {
  test("a picture, is left out; the model is told why, and the session goes on without it", async () => {
    const { stack } = house;
    const images = [create(ImageSchema, { mediaType: "image/png", data: png() })];
    const leaf = await stack.submit("<a picture that it does not take>", { retry: once, images });
    const said = "left out since the model's provider refused it: messages.0.content.1.image: Could not process image";
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: `I saw: ${said}` }, usage: { modelCalls: 1 } });
    const next = await stack.submit("<a picture that it does not take>", { retry: once, sessionId: leaf.spec?.sessionId ?? "" });
    expect(await stack.ended(next)).toMatchObject({ state: LeafState.DONE, result: { text: `I saw: ${said}` } });
    expect(pictureRequests).toBe(1);
  });
});

describe("a model that asks to wait", () => {
  test.concurrent.each(TOO_LONG)("longer than an hour fails its leaf with what it asked for: %s", async (what, _behaviour, told) => {
    const { stack } = house;
    const ended = await stack.ended(await stack.submit(`<${what}>`));
    expect(ended).toMatchObject({ state: LeafState.FAILED, claims: 1, failure: { reason: MODEL_UNAVAILABLE, retryable: false } });
    expect(ended.failure?.message).toMatch(told);
    expect(ended.failure?.retryAfterMs).toBeGreaterThan(3_600_000n);
  });

  test.each([["a wait in seconds"], ["a wait until a date"]])("has no brain wait with it: %s", async (what) => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(`<${what}>`);
    const brain = stack.brain(settings());
    const waits = await stack.inState(leaf, LeafState.RETRYING);
    expect((await brain.exited).code).toBe(0);
    expect((await stack.get(leaf)).state).toBe(LeafState.RETRYING);
    const [wait] = (await stack.events(leaf)).filter(
      ({ event }) => event.case === "stateChanged" && event.value.state === LeafState.RETRYING,
    );
    expect(Number(waits.notBeforeMs - (wait?.timeMs ?? 0n))).toBeGreaterThan(LONGER - 1000);
    stack.brain({ ...settings(), BRAIN_GRACE_MS: "20000" });
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, failedAttempts: 1, result: { text: "recovered" } });
  });
});
