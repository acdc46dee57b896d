import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { createLogger } from "@serverless-harness/kit/log";
import { LeafMessageSchema } from "@serverless-harness/proto/leaf";
import type { Wishes } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { Heartbeat } from "../leaf/heartbeat.ts";

const log = createLogger("test", "silent");

/** A heartbeat that answers each beat with what is next in line, and what it told. */
function beating(answers: Array<() => Promise<Wishes>>, leaseMs = 30) {
  const told: string[] = [];
  let beats = 0;
  const changed = Promise.withResolvers<void>();
  const tell = (what: string) => () => {
    told.push(what);
    changed.resolve();
  };
  const beat = (): Promise<Wishes> => {
    const answer = answers[Math.min(beats++, answers.length - 1)];
    if (answer === undefined) throw new Error("no answer");
    return answer();
  };
  const heartbeat = new Heartbeat({ leaseMs, beat, onCancel: tell("cancel"), onMessages: tell("messages"), onLost: tell("lost"), log });
  onTestFinished(() => heartbeat.stop());
  return { heartbeat, told, first: changed.promise, beats: () => beats };
}

const fine = async () => ({ cancelRequested: false, messages: [] });
const cancel = async () => ({ cancelRequested: true, messages: [] });
const stale = () => Promise.reject(new HarnessError(Code.FailedPrecondition, "stale_epoch", "another owner"));
const broken = () => Promise.reject(new Error("the disk is away"));

describe("a heartbeat", () => {
  test("tells of a cancel once, and goes on beating", async () => {
    const { told, first, beats, heartbeat } = beating([fine, cancel]);
    await first;
    while (beats() < 5) await new Promise((resolve) => setImmediate(resolve));
    expect(told).toEqual(["cancel"]);
    heartbeat.stop();
  });

  test("tells at once that another owner is there, and stops", async () => {
    const { told, first, beats } = beating([fine, stale]);
    await first;
    expect(told).toEqual(["lost"]);
    expect(beats()).toBe(2);
  });

  test("sits out errors of the store, but not for longer than the lease", async () => {
    const patient = beating([fine, broken], 3_600_000);
    for (let beats = 0; beats < 4; beats++) await patient.heartbeat.beat();
    expect(patient.told).toEqual([]);
    const { told, first } = beating([fine, broken]);
    await first;
    expect(told).toEqual(["lost"]);
  });

  test("tells of messages whenever there are some, and sooner where it is asked to beat", async () => {
    const said = async () => ({ cancelRequested: false, messages: [create(LeafMessageSchema, { messageId: "m" })] });
    const { heartbeat, told } = beating([said], 3_600_000);
    await heartbeat.beat();
    await heartbeat.beat();
    expect(told).toEqual(["messages", "messages"]);
  });

  test("that was stopped tells nothing more", async () => {
    const gate = Promise.withResolvers<Wishes>();
    const { heartbeat, told, beats } = beating([() => gate.promise]);
    while (beats() === 0) await new Promise((resolve) => setImmediate(resolve));
    heartbeat.stop();
    gate.resolve({ cancelRequested: true, messages: [create(LeafMessageSchema)] });
    await gate.promise;
    expect(told).toEqual([]);
  });
});
