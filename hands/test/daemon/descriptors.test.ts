import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const FIXTURE = fileURLToPath(new URL("../fixtures/out-of-descriptors.ts", import.meta.url));

test("out of descriptors every program that hands starts is an error of its call, and starts again later", async () => {
  const argv = ["-c", 'ulimit -n 96; exec "$@"', "sh", process.execPath, FIXTURE];
  const { stdout } = await promisify(execFile)("/bin/sh", argv);
  const failed = JSON.parse(stdout) as Record<string, number>;
  // With none free all of them fail, and none of them anything but itself.
  expect(Object.keys(failed).sort()).toEqual(["git", "keeper", "ripgrep", "terminal"]);
});
