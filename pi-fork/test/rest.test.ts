import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Rest, RestWatch } from "../agent/rest.ts";
import type { ToolCall } from "../tools/tool.ts";

const LONG_MS = 3_600_000;

/** A watch over these calls, and what it noticed. */
function watch(tools: Readonly<Record<string, string>>, sleepAfterMs: number | undefined): { watch: RestWatch; rests: Rest[] } {
  const calls = Object.entries(tools).map(
    ([invocationId, tool]): ToolCall => ({ invocationId, tool, turnId: "", toolCallId: "", args: {} }),
  );
  const rests: Rest[] = [];
  return {
    watch: new RestWatch(
      () => calls,
      sleepAfterMs,
      (rest) => rests.push(rest),
    ),
    rests,
  };
}

/** All that was due by now has happened. */
async function settle(): Promise<void> {
  await pause(1);
  await turn();
}

test("a command that another agent started long ago is not waited for anew", async () => {
  const { watch: rest, rests } = watch({ a: "bash" }, LONG_MS);
  rest.ran("a", LONG_MS - 10_000);
  await settle();
  expect(rests).toEqual([]);
  rest.ran("a", LONG_MS);
  await settle();
  expect(rests).toEqual([{ gateIds: [], execIds: ["a"], silentMs: 0 }]);
});

test("a command that the sandbox does not have yet, or that is over, is no rest", async () => {
  const { watch: rest, rests } = watch({ a: "bash", b: "bash" }, 0);
  rest.changed();
  await settle();
  rest.ran("a", 0);
  await settle();
  rest.ran("b", undefined);
  await settle();
  expect(rests).toEqual([]);
  rest.ran("b", 0);
  await settle();
  expect(rests).toEqual([{ gateIds: [], execIds: ["a", "b"], silentMs: 0 }]);
});

test("beside a call at its gate only commands may run, and none where commands are waited for", async () => {
  const sleepy = watch({ gate: "write", a: "bash" }, 0);
  sleepy.watch.held("gate");
  sleepy.watch.ran("a", 0);
  const patient = watch({ gate: "write", a: "bash" }, undefined);
  patient.watch.held("gate");
  patient.watch.ran("a", LONG_MS);
  const busy = watch({ gate: "write", a: "grep" }, 0);
  busy.watch.held("gate");
  await settle();
  expect([sleepy.rests, patient.rests, busy.rests]).toEqual([[{ gateIds: ["gate"], execIds: ["a"], silentMs: 0 }], [], []]);
});
