import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { withFileLock } from "../../git/file-lock.ts";
import { reasonOf } from "./sandbox.ts";

test("processes that add to one number under the lock lose nothing", async () => {
  const directory = await temporaryDirectory();
  const counter = join(directory, "counter");
  writeFileSync(counter, "0");
  const fixture = join(import.meta.dirname, "fixtures/locked-counter.ts");
  const processes = [1, 2, 3].map(() => spawn(process.execPath, [fixture, join(directory, "lock"), counter, "15"], { stdio: "inherit" }));
  expect(await Promise.all(processes.map(async (child) => (await once(child, "exit"))[0]))).toEqual([0, 0, 0]);
  expect(readFileSync(counter, "utf8")).toBe("45");
});

test("waiting ends after the time that was given, and the lock is free once its task has failed", async () => {
  const lock = join(await temporaryDirectory(), "lock");
  await withFileLock(lock, 0, async () => {
    expect(await reasonOf(() => withFileLock(lock, 20, async () => undefined))).toBe("lock_timeout");
  });
  await expect(
    withFileLock(lock, 0, async () => {
      throw new Error("failed");
    }),
  ).rejects.toThrow("failed");
  expect(await withFileLock(lock, 0, async () => "taken")).toBe("taken");
});
