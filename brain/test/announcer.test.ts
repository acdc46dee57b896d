import type { AgentEvent, EventBatch } from "@serverless-harness/pi-fork";
import type { NewEvent } from "@serverless-harness/session";
import { describe, expect, test } from "vitest";
import { Announcer } from "../leaf/announcer.ts";
import { toLeafEvent } from "../leaf/leaf-events.ts";

const text = (piece: string, thinking = false): AgentEvent => ({ kind: "text", text: piece, thinking });
const answer = (entryId: string): AgentEvent => ({ kind: "answer", entryId, text: "t", toolCalls: 0 });
const output = (invocationId: string, shown: string): AgentEvent => ({ kind: "tool_output", invocationId, text: shown });
const ended = (invocationId: string): AgentEvent => ({ kind: "tool_ended", invocationId, tool: "bash", text: "", isError: false });

/** What is written, an inner array for each append. */
function recorder(fail: (appends: number) => boolean = () => false) {
  const appends: string[][] = [];
  const errors: unknown[] = [];
  let asked = 0;
  let writing = 0;
  let overlapped = false;
  const append = async (events: readonly NewEvent[]): Promise<void> => {
    overlapped ||= ++writing > 1;
    await new Promise((resolve) => setImmediate(resolve));
    writing--;
    if (fail(++asked)) throw new Error("refused");
    appends.push(events.map(({ event }) => (event.case === "textDelta" ? `text ${event.value.text}` : `${event.case}`)));
  };
  const announcer = new Announcer({ leafId: "leaf", append, onError: (error) => errors.push(error) });
  return { announcer, appends, errors, overlapped: () => overlapped };
}

describe("an announcer", () => {
  test("joins the pieces of an answer until something else happens", async () => {
    const { announcer, appends } = recorder();
    for (const piece of ["a", "b", "c"]) announcer.tell(text(piece));
    announcer.tell(answer("1"));
    await announcer.flush();
    expect(appends).toEqual([["text abc", "answer"]]);
  });

  test("keeps thinking and saying apart", async () => {
    const { announcer, appends } = recorder();
    announcer.tell(text("hm", true));
    announcer.tell(text("so", true));
    announcer.tell(text("yes"));
    await announcer.flush();
    expect(appends).toEqual([["text hmso", "text yes"]]);
  });

  test("writes pieces by itself when nothing else happens", async () => {
    const { announcer, appends } = recorder();
    announcer.tell(text("a"));
    while (appends.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(appends).toEqual([["text a"]]);
  });

  test("writes in order, one append at a time", async () => {
    const { announcer, appends, overlapped } = recorder();
    for (let i = 0; i < 20; i++) {
      announcer.tell(text(String(i)));
      announcer.tell(answer(String(i)));
      if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await announcer.flush();
    expect(appends.flat()).toEqual(Array.from({ length: 20 }, (_, i) => [`text ${i}`, "answer"]).flat());
    expect(overlapped()).toBe(false);
  });

  test("drops what a tool showed once the tool has ended", async () => {
    const { announcer, appends } = recorder();
    announcer.tell(output("1", "half"));
    announcer.tell(ended("1"));
    await announcer.flush();
    expect(appends).toEqual([["toolEnded"]]);
  });

  test("shows the newest of what a tool shows", async () => {
    const shown: string[] = [];
    const append = async (events: readonly NewEvent[]): Promise<void> => {
      for (const { event } of events) if (event.case === "toolOutput") shown.push(event.value.text);
    };
    const announcer = new Announcer({ leafId: "leaf", append, onError: () => undefined });
    for (const part of ["1", "1 2", "1 2 3"]) announcer.tell(output("a", part));
    while (shown.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(shown).toEqual(["1 2 3"]);
  });

  test("writes nothing more once it was refused, and says so once", async () => {
    const { announcer, appends, errors } = recorder((appended) => appended === 2);
    announcer.tell(answer("1"));
    await announcer.flush();
    announcer.tell(answer("2"));
    await announcer.flush();
    announcer.tell(answer("3"));
    await announcer.flush();
    expect(appends).toEqual([["answer"]]);
    expect(errors.length).toBe(1);
    expect(await announcer.drain()).toEqual([]);
  });

  test("hands over what is not yet written, to be written with the end", async () => {
    const { announcer, appends } = recorder();
    announcer.tell(answer("1"));
    await announcer.flush();
    announcer.tell(text("last words"));
    const left = await announcer.drain();
    expect(left.map(({ event }) => event.case)).toEqual(["textDelta"]);
    expect(appends).toEqual([["answer"]]);
  });
});

describe("an announcer whose session commits", () => {
  const kinds = (batch: EventBatch | undefined) => batch?.events.map(({ event }) => event.case);

  test("hands over what is ready, once, and writes nothing itself meanwhile", async () => {
    const { announcer, appends } = recorder();
    announcer.tell(answer("1"));
    const batch = announcer.take(10);
    expect(kinds(batch)).toEqual(["answer"]);
    announcer.tell(text("more"));
    const flushed = announcer.flush();
    expect(announcer.take(10)).toBeUndefined();
    await new Promise((resolve) => setImmediate(resolve));
    expect(appends).toEqual([]);
    batch?.written();
    await flushed;
    expect(appends).toEqual([["text more"]]);
  });

  test("hands over no more than fits, and nothing while it writes", async () => {
    const { announcer, appends } = recorder();
    for (let i = 0; i < 3; i++) announcer.tell(answer(String(i)));
    const batch = announcer.take(2);
    expect(batch?.events.map(({ key }) => key)).toEqual(["answer:0", "answer:1"]);
    batch?.written();
    const flushed = announcer.flush();
    expect(announcer.take(2)).toBeUndefined();
    await flushed;
    expect(appends).toEqual([["answer"]]);
  });

  test("gets back what a refused commit did not write, in front of what was told since", async () => {
    const { announcer, appends, errors } = recorder();
    announcer.tell(text("a"));
    announcer.tell(answer("1"));
    const batch = announcer.take(10);
    announcer.tell(ended("i"));
    batch?.failed(new Error("no such parent"), false);
    await announcer.flush();
    expect(appends).toEqual([["text a", "answer", "toolEnded"]]);
    expect(errors).toEqual([]);
  });

  test("writes nothing more where a commit may have been made, so that nothing is doubled", async () => {
    const { announcer, appends, errors } = recorder();
    announcer.tell(text("a"));
    announcer.tell(answer("1"));
    const lost = new Error("connection lost");
    announcer.take(10)?.failed(lost, true);
    announcer.tell(answer("2"));
    await announcer.flush();
    expect([appends, errors, await announcer.drain()]).toEqual([[], [lost], []]);
    expect(announcer.take(10)).toBeUndefined();
  });

  test("waits for a commit that is under way before it hands over the rest", async () => {
    const { announcer } = recorder();
    announcer.tell(answer("1"));
    const batch = announcer.take(10);
    announcer.tell(answer("2"));
    const draining = announcer.drain();
    batch?.failed(new Error("refused"), false);
    expect((await draining).map(({ key }) => key)).toEqual(["answer:1", "answer:2"]);
  });

  test("waits for no commit with the start of a tool, which goes on whatever becomes of this process", async () => {
    const { announcer, appends } = recorder();
    announcer.tell(answer("1"));
    announcer.tell({ kind: "tool_started", invocationId: "i", tool: "bash", args: {}, resumed: false });
    await Promise.resolve();
    expect(announcer.take(10)).toBeUndefined();
    await announcer.flush();
    expect(appends).toEqual([["answer", "toolStarted"]]);
  });

  test("keeps the beginning of an answer until there is more of it", () => {
    const { announcer } = recorder();
    announcer.tell(text("a"));
    expect(announcer.take(10)).toBeUndefined();
  });
});

describe("an event in a leaf's log", () => {
  test("has a key where the session's log can tell it again", () => {
    const usage = { modelCalls: 1, inputTokens: 2, outputTokens: 3, cacheReadTokens: 4, cacheWriteTokens: 5, costMicroUsd: 6 };
    const started = { kind: "tool_started", invocationId: "i", tool: "bash", args: {} } as const;
    expect(toLeafEvent(answer("e")).key).toBe("answer:e");
    expect(toLeafEvent({ kind: "answer_discarded", entryId: "e", reason: "cut" }).key).toBe("discarded:e");
    expect(toLeafEvent({ ...started, resumed: false }).key).toBe("tool_start:i");
    expect(toLeafEvent({ ...started, resumed: true }).key).toBeUndefined();
    expect(toLeafEvent(ended("i")).key).toBe("tool_end:i");
    for (const event of [text("t"), output("i", "o"), { kind: "usage", usage }, { kind: "model_call", model: "m", attempt: 1 }] as const) {
      expect(toLeafEvent(event).key).toBeUndefined();
    }
  });

  test("is no larger than promised, and is cut between characters", () => {
    const long = "ü".repeat(20_000);
    const shown = toLeafEvent(output("i", long)).event;
    const result = toLeafEvent({ kind: "tool_ended", invocationId: "i", tool: "t", text: `${long}end`, isError: true }).event;
    const begun = toLeafEvent({ kind: "tool_started", invocationId: "i", tool: "t", args: { deep: [{ s: long }] }, resumed: false }).event;
    if (shown.case !== "toolOutput" || result.case !== "toolEnded" || begun.case !== "toolStarted") throw new Error("another event");
    expect(Buffer.byteLength(shown.value.text)).toBe(4096);
    expect(Buffer.byteLength(result.value.text)).toBeLessThanOrEqual(16 * 1024);
    expect(result.value.text.endsWith("end")).toBe(true);
    expect(JSON.stringify(begun.value.arguments).length).toBeLessThan(5000);
    for (const { value } of [shown, result]) expect(value.text).not.toContain("\uFFFD");
  });

  test("takes whatever a model makes of a tool's arguments", () => {
    const args = (value: unknown) => {
      const { event } = toLeafEvent({ kind: "tool_started", invocationId: "i", tool: "t", args: value, resumed: false });
      return event.case === "toolStarted" ? event.value.arguments : undefined;
    };
    expect(args(undefined)).toEqual({});
    expect(args(["list"])).toEqual({});
    expect(args("text")).toEqual({});
    expect(args({ a: undefined, b: null, c: [1, { d: true }] })).toEqual({ b: null, c: [1, { d: true }] });
  });
});
