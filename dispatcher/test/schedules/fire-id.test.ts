import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { LeafSpecSchema, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { fireIdAt, jitterOf, specOfFire } from "../../schedules/fire-id.ts";

test("a fire's id is the schedule's and its time, and can be a part of a session's name", () => {
  expect(fireIdAt("nightly", Date.parse("2026-11-30T02:00:07Z"))).toBe("nightly-20261130T020007Z");
});

test("__FIRE__ stands for the id in every text at every depth, and in no name", () => {
  const spec = fromJson(LeafSpecSchema, {
    tenant: "acme",
    sessionId: "run-__FIRE__",
    kind: "LEAF_KIND_TASK",
    prompt: "look at __FIRE__ and __FIRE__",
    labels: { __FIRE__: "of __FIRE__" },
    repository: { url: "https://example.com/__FIRE__.git" },
    gates: { tools: [{ tool: "bash", arguments: "__FIRE__" }] },
    input: { deep: [{ deeper: ["x__FIRE__", 7, null, true] }], __FIRE__: "__FIRE__" },
    images: [{ mediaType: "image/png", data: "AAAA" }],
  });
  const before = toJson(LeafSpecSchema, spec);
  expect(toJson(LeafSpecSchema, specOfFire(spec, "f-1"))).toEqual({
    tenant: "acme",
    sessionId: "run-f-1",
    kind: "LEAF_KIND_TASK",
    prompt: "look at f-1 and f-1",
    labels: { __FIRE__: "of f-1" },
    repository: { url: "https://example.com/f-1.git" },
    gates: { tools: [{ tool: "bash", arguments: "f-1" }] },
    input: { deep: [{ deeper: ["xf-1", 7, null, true] }], __FIRE__: "f-1" },
    images: [{ mediaType: "image/png", data: "AAAA" }],
  });
  expect(toJson(LeafSpecSchema, spec)).toEqual(before);
});

test("an id that looks like a pattern of a replacement is put in as it is", () => {
  expect(specOfFire(create(LeafSpecSchema, { prompt: "a __FIRE__ b" }), "$&-$1").prompt).toBe("a $&-$1 b");
});

test("no fire gets to another tenant, whatever its name is", () => {
  expect(specOfFire(create(LeafSpecSchema, { tenant: "__FIRE__", prompt: "x" }), "f-1").tenant).toBe("__FIRE__");
});

test("jitter is the same whoever asks, differs by schedule and time, and keeps to its bound", () => {
  const schedule = (scheduleId: string) => create(ScheduleSchema, { tenant: "acme", scheduleId, jitterMs: 60_000n });
  const fires = Array.from({ length: 500 }, (_, i) => i * 60_000);
  const jitters = fires.map((fireMs) => jitterOf(schedule("a"), fireMs));
  expect(fires.map((fireMs) => jitterOf(schedule("a"), fireMs))).toEqual(jitters);
  expect(fires.map((fireMs) => jitterOf(schedule("b"), fireMs))).not.toEqual(jitters);
  expect(Math.min(...jitters)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...jitters)).toBeLessThanOrEqual(60_000);
  expect(new Set(jitters).size).toBeGreaterThan(400);
  expect(jitterOf(create(ScheduleSchema, { scheduleId: "a" }), 7)).toBe(0);
});
