import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { echo } from "../exec/calls.ts";
import { BothWays } from "../pool/both-ways.ts";
import { idleDialOut } from "../pool/idle-dial-outs.ts";
import { placements } from "../pool/placements.ts";
import { recovery } from "../pool/recovery.ts";

test("one sandbox is reached both ways", async () => {
  const sandbox = await BothWays.open(false);
  onTestFinished(() => sandbox[Symbol.asyncDispose]());
  await echo(sandbox.direct);
  await echo(sandbox.dialled);
});

test("an idle dial-out takes less than a megabyte of its relay", async () => {
  expect(await idleDialOut(50, 3)).toBeLessThan(1);
});

test("sessions are placed evenly, and stay where they are", async () => {
  const { placed, again, loads } = await placements(`sqlite:${join(await temporaryDirectory(), "leaf.db")}`, 30, 10);
  expect([placed.length, again.length, loads]).toEqual([30, 30, Array.from({ length: 10 }, () => 3)]);
});

test("sessions go on in another sandbox when theirs is killed", async () => {
  expect((await recovery(2)).map((ms) => ms > 0)).toEqual([true, true]);
});
