import { describe, expect, test } from "vitest";
import { mergePieces } from "../models/answers/event-merger.ts";

type Delta = Readonly<Record<string, string>>;
const event = (type: string, more: Readonly<Record<string, unknown>> = {}) =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const delta = (index: number, piece: Delta) => event("content_block_delta", { index, delta: piece });
const text = (piece: string, index = 0) => delta(index, { type: "text_delta", text: piece });
const json = (piece: string, index = 0) => delta(index, { type: "input_json_delta", partial_json: piece });
const start = event("content_block_start", { index: 0 });
const stop = event("content_block_stop", { index: 0 });
const toolUse = event("message_delta", { delta: { stop_reason: "tool_use" } });

/** What comes out of chunks, each as one. */
async function merged(...chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
  const source = async function* () {
    for (const chunk of chunks) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
  };
  const out: string[] = [];
  for await (const chunk of mergePieces(source())) out.push(new TextDecoder().decode(chunk));
  return out;
}

describe("pieces of an answer", () => {
  test("of text are merged where they came together, and never kept waiting", async () => {
    expect(await merged(start + text("a") + text("b"), text("c"))).toEqual([start + text("ab"), text("c")]);
  });

  test("are merged with none of another block or kind", async () => {
    const thought = delta(0, { type: "thinking_delta", thinking: "x" });
    expect((await merged(text("a") + text("b", 1) + thought + text("c"))).join("")).toBe(text("a") + text("b", 1) + thought + text("c"));
  });

  test("of a call's arguments wait for more, and come with the block's end", async () => {
    expect(await merged(start, json('{"a"'), json(": 1}"), stop)).toEqual([start, json('{"a": 1}') + stop]);
  });

  test("of large arguments come in numbers that hardly grow with them", async () => {
    const whole = JSON.stringify({ text: "x".repeat(1_000_000) });
    const pieces = whole.match(/.{1,40}/g) ?? [];
    const out = (await merged(start, ...pieces.map((piece) => json(piece)), stop)).join("").split("\n\n");
    expect(out.length).toBeLessThan(100);
    const got = out.flatMap((each) => /"partial_json":("(?:[^"\\]|\\.)*")/.exec(each)?.[1] ?? []).map((each) => JSON.parse(each) as string);
    expect(got.join("")).toBe(whole);
  });

  test("survive chunks that end anywhere", async () => {
    const bytes = new TextEncoder().encode(start + text("für alle") + stop);
    const chunks = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect((await merged(...chunks)).join("")).toBe(start + text("für alle") + stop);
  });
});

describe("what is not understood passes as it is:", () => {
  test.each([
    ["other lines", "data: [DONE]\n\n: a comment\n\n"],
    ["other ends of lines", (start + text("a") + text("b")).replaceAll("\n", "\r\n")],
    ["no end", "event: content_block_delta\ndata: {"],
    ["no JSON", "event: content_block_delta\ndata: {oops\n\n"],
  ])("%s", async (_what, events) => {
    expect((await merged(events)).join("")).toBe(events);
  });
});

describe("the arguments of a call", () => {
  test.each([
    ["half", '{"command": "echo'],
    ["two of them", "{}{}"],
  ])("that are no JSON are told before the call is made: %s", async (_what, part) => {
    await expect(merged(start, json(part), stop, toolUse)).rejects.toThrow("no JSON");
  });

  test.each([["{}"], [""], ['{"a": "two\nlines"}'], ['{"a": "C:\\dir"}']])("that Pi can read pass: %j", async (part) => {
    expect((await merged(start, json(part), stop, toolUse)).join("")).toContain("tool_use");
  });

  test("that were cut at the output limit pass: Pi does not make such a call", async () => {
    const cut = event("message_delta", { delta: { stop_reason: "max_tokens" } });
    expect((await merged(start, json('{"a'), stop, cut)).join("")).toContain("max_tokens");
  });

  test("that are too deep are told, and brackets in a text are not depth", async () => {
    await expect(merged(start, json("[".repeat(201)))).rejects.toThrow("200 deep");
    expect(await merged(start, json(JSON.stringify({ a: '"[['.repeat(300) })), stop, toolUse)).toBeDefined();
  });
});
