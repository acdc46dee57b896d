import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { stopProcesses } from "../stack/down.ts";
import { stackPaths } from "../stack/paths.ts";
import { newRecord } from "../stack/record.ts";

/** A service that has a child with its own command line. Asked to end, it says what it finds. */
const PROGRAM = `
import { spawn } from "node:child_process";
if (process.send === undefined) {
  const child = spawn(process.execPath, process.argv.slice(1), { stdio: ["ignore", "ignore", "ignore", "ipc"] });
  child.on("message", () => console.log("up"));
  setInterval(() => undefined, 1000);
  process.on("SIGTERM", () => {
    console.log(child.exitCode === null && child.signalCode === null ? "asked before its child" : "asked after its child");
    child.kill("SIGKILL");
    process.exit();
  });
} else {
  process.send("up");
  process.on("disconnect", () => process.exit());
}
`;

test("what runs below a service and has its command line, as a process that was just forked, is not asked to end in its stead", async () => {
  const paths = stackPaths(await temporaryDirectory());
  const main = join(paths.dir, "hands", "main.mjs");
  for (const directory of [paths.run, join(paths.dir, "hands")]) mkdirSync(directory);
  writeFileSync(main, PROGRAM);
  const service = spawn(process.execPath, [main], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void service.kill("SIGKILL"));
  const { pid = 0, stdout } = service;
  expect(String(await once(stdout, "data"))).toBe("up\n");
  writeFileSync(paths.record("hands"), JSON.stringify(newRecord("hands", pid, { address: "", settings: {} })));
  const said = once(stdout, "data");
  expect((await stopProcesses(paths, ["hands"])).killed).toEqual([]);
  expect(String(await said)).toBe("asked before its child\n");
});
