import { type AgentHarnessTool, BACKGROUND_CONTEXT as C, sanitizeBinaryOutput } from "@earendil-works/pi-agent-core";
import { Stream } from "@serverless-harness/proto/hands";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BoundedOutput, OutputView } from "../env/output-view.ts";
import { HandsProcess } from "../testing/index.ts";
import { createSandboxBashTool, cutNote } from "../tools/bash.ts";
import { textOf } from "../tools/tool.ts";
import { openWorkspace, type TestWorkspace } from "./fixtures/workspace.ts";

let hands: HandsProcess;
beforeAll(async () => {
  hands = await HandsProcess.start();
});
afterAll(() => hands.stop());

/** The whole of an output, as its reader would see it were there no limits. */
function readable(bytes: Uint8Array): string {
  return sanitizeBinaryOutput(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
}

/** Lines, of which the last may lack its newline. */
function linesOf(text: string): string[] {
  return (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
}

/** Check what is shown, and what its note says of it, against all that was written. */
function expectTruth(shown: string, note: string | undefined, bytes: Uint8Array): void {
  const whole = readable(bytes);
  const all = linesOf(whole);
  const lines = /^Showing lines (\d+)-(\d+) of (\d+)(, of line (\d+) only its end)?/.exec(note ?? "");
  const last = /^Showing last (\S+) of line (\d+)(?: \(line is (\S+)\))?\. /.exec(note ?? "");
  if (note === undefined) {
    expect(shown).toBe(whole);
  } else if (lines === null) {
    expect(last?.[2]).toBe(String(all.length));
    expect(shown).not.toBe("");
    expect((all.at(-1) ?? "").endsWith(shown)).toBe(true);
  } else {
    const [first, end, total] = lines.slice(1, 4).map(Number) as [number, number, number];
    expect([end, total]).toEqual([all.length, all.length]);
    expect(first).toBeLessThanOrEqual(end);
    const expected = all.slice(first - 1, end);
    const cut = lines[4] !== undefined;
    if (cut) expect(Number(lines[5])).toBe(first);
    expect(shown.split("\n").slice(cut ? 1 : 0)).toEqual(expected.slice(cut ? 1 : 0));
    expect(expected.join("\n").endsWith(shown)).toBe(true);
  }
}

const piece = fc.constantFrom(
  "\n",
  "\n\n",
  "a",
  "line\n",
  "0".repeat(7),
  "ü",
  "€uro\n",
  "🎉",
  "\r\n",
  "\t",
  "\u{FEFF}",
  "x".repeat(23),
  "\u001b[31m",
);
const binary = fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) => Buffer.from(bytes));
const output = fc
  .array(fc.oneof({ weight: 9, arbitrary: piece.map((text) => Buffer.from(text)) }, { weight: 1, arbitrary: binary }), { maxLength: 60 })
  .map((pieces) => Buffer.concat(pieces));

/** An output as hands sends it: in pieces, of which a slow reader misses some, but never of the last bytes that it asked for. */
function viewed(
  bytes: Buffer,
  limits: { maxBytes: number; maxLines: number },
  cuts: readonly number[],
  missed: readonly boolean[],
): BoundedOutput {
  const view = new OutputView({ ...limits, retain: "tail" });
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let at = 0;
  ends.forEach((end, index) => {
    const from = missed[index] ? Math.max(at, end - limits.maxBytes) : at;
    if (from > at) view.skip(from - at);
    if (end > from) view.push(Stream.STDOUT, bytes.subarray(from, end));
    view.snapshot();
    at = end;
  });
  view.finish({ bytes: bytes.length, newlines: bytes.filter((byte) => byte === 10).length });
  return view.snapshot();
}

describe("of any output", () => {
  test("what is shown is a part, and the note on the rest is true", () => {
    const limits = fc.record({ maxBytes: fc.integer({ min: 8, max: 120 }), maxLines: fc.integer({ min: 1, max: 12 }) });
    const plain = output.map((bytes) => Buffer.from(readable(bytes)));
    fc.assert(
      fc.property(
        plain,
        limits,
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.array(fc.boolean(), { maxLength: 9 }),
        (bytes, bounds, cuts, missed) => {
          const view = viewed(bytes, bounds, cuts, missed);
          const { truncated, outputBytes, outputLines } = view.truncation;
          expect(outputBytes).toBeLessThanOrEqual(bounds.maxBytes);
          expect(outputLines).toBeLessThanOrEqual(bounds.maxLines);
          expectTruth(view.text, truncated ? cutNote(view) : undefined, bytes);
          if (truncated && outputLines < bounds.maxLines) expect(outputBytes).toBeGreaterThanOrEqual(bounds.maxBytes / 2 - 5);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("the length that is told of a line is its own", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.boolean(),
        fc.array(fc.nat(), { maxLength: 5 }),
        fc.boolean(),
        (length, ended, cuts, lag) => {
          const bytes = Buffer.from(`${"x".repeat(length)}${ended ? "\n" : ""}`);
          const view = viewed(bytes, { maxBytes: 10, maxLines: 5 }, cuts, Array(6).fill(lag));
          if (view.truncation.lastLinePartial && view.lastLineBytes !== undefined) expect(view.lastLineBytes).toBe(length);
        },
      ),
    );
  });
});

describe("of two streams", () => {
  test("each character is whole, wherever the other one's bytes come in between", () => {
    const text = fc.array(fc.constantFrom("a", "ü", "€", "🎉", "\n"), { maxLength: 20 }).map((pieces) => Buffer.from(pieces.join("")));
    fc.assert(
      fc.property(text, text, fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 4 })), { maxLength: 80 }), (out, err, turns) => {
        const view = new OutputView({ maxBytes: 10_000, maxLines: 1000, retain: "tail" });
        const left = [
          { stream: Stream.STDOUT, bytes: out },
          { stream: Stream.STDERR, bytes: err },
        ];
        for (const [first, length] of [...turns, [true, 100], [false, 100]] as const) {
          const from = left[first ? 0 : 1];
          if (from === undefined || from.bytes.length === 0) continue;
          view.push(from.stream, from.bytes.subarray(0, length));
          from.bytes = from.bytes.subarray(length);
        }
        const newlines = [...out, ...err].filter((byte) => byte === 10).length;
        view.finish({ bytes: out.length + err.length, newlines });
        const { text: shown, truncation } = view.snapshot();
        expect([...shown].sort()).toEqual([...`${out}${err}`].sort());
        expect(truncation.totalBytes).toBe(out.length + err.length);
      }),
      { numRuns: 1000 },
    );
  });

  test("a character that was never finished is shown as such, after all that came", () => {
    const view = new OutputView({ maxBytes: 100, maxLines: 10, retain: "tail" });
    view.push(Stream.STDOUT, Buffer.from([0xe2, 0x82]));
    view.push(Stream.STDERR, Buffer.from("line\n"));
    view.finish({ bytes: 7, newlines: 1 });
    expect(view.snapshot().text).toBe("line\n\u{FFFD}");
  });
});

/** What the bash tool says of a command that writes these bytes. */
async function told({ env, workspace }: TestWorkspace, bytes: Buffer, id: string): Promise<string> {
  await workspace.write("output", bytes, { changeId: `${id}-write` });
  const tool = createSandboxBashTool() as unknown as AgentHarnessTool<{ env: typeof env }>;
  const invocation = {
    invocationId: id,
    operationId: "op",
    turnId: "turn",
    getMemo: async () => undefined,
    setMemo: async () => undefined,
  };
  return textOf((await tool.execute("toolu", { command: "cat output" }, () => undefined, { env }, invocation, C)).content);
}

const NOTE = /\n\n\[(Showing [^\n]*)\]$/;
const long = fc
  .tuple(piece, fc.oneof(fc.constantFrom(1, 2), fc.integer({ min: 1, max: 30_000 })))
  .map(([text, times]) => Buffer.from(text.repeat(Math.min(times, 160_000 / text.length))));

describe("of what a command writes in the sandbox", () => {
  test("the model is shown a part, with a note that is true and a file that has the rest", async () => {
    const place = await openWorkspace(hands);
    let count = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(long, { minLength: 1, maxLength: 3 }), async (pieces) => {
        const bytes = Buffer.concat(pieces);
        const text = await told(place, bytes, `run-${++count}`);
        const note = NOTE.exec(text)?.[1];
        expectTruth(text.replace(NOTE, ""), note, bytes);
        const path = /Full output: (\S+)$/.exec(note ?? "")?.[1];
        if (path !== undefined) expect(Buffer.from(await place.workspace.read(path)).equals(bytes)).toBe(true);
      }),
      {
        numRuns: 25,
        endOnFailure: true,
        examples: [[[Buffer.from("0".repeat(150_000)), Buffer.from("\n\n")]], [[Buffer.from("\u{FEFF}text")]]],
      },
    );
  });

  test.each([
    [
      "a line over the limit and an empty one",
      `${"0".repeat(150_000)}\n\n`,
      /0{40000}\n\n\n\[Showing lines 1-2 of 2, of line 1 only its end /,
    ],
    [
      "a line over the limit",
      `${"0".repeat(150_000)}\n`,
      /0\n\n\[Showing last 50\.0KB of line 1 \(line is 146\.5KB\)\. Full output: \/\S+\]$/,
    ],
    [
      "a line over the limit after others",
      `a\nb\n${"0".repeat(150_000)}`,
      /0\n\n\[Showing last 50\.0KB of line 3(?: \(line is 146\.5KB\))?\. Full output: \/\S+\]$/,
    ],
    ["a byte order mark", "\u{FEFF}text\n", /^\u{FEFF}text\n$/u],
    [
      "one line more than the limit, without an end",
      `${"x\n".repeat(2000)}end`,
      /^x\n.*end\n\n\[Showing lines 2-2001 of 2001\. Full output: \/\S+\]$/s,
    ],
  ])("%s are not lost", async (_, text, expected) => {
    expect(await told(await openWorkspace(hands), Buffer.from(text), "run")).toMatch(expected);
  });
});
