import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import { HandsClient } from "@serverless-harness/hands/client";
import { commandLine, residentBytes } from "@serverless-harness/kit/proc";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { besideBulk, echo, readBytes } from "../exec/calls.ts";
import { scratch, startProgram, stopProgram } from "../parts/process.ts";
import { startSandbox } from "../parts/sandbox.ts";
import { Keyboard } from "../terminal/keyboard.ts";

describe("the parts that a benchmark starts", () => {
  test("run commands, bulk output, and both at once against the real daemon, and leave no process behind", async () => {
    const sandbox = await startSandbox(false);
    const client = new HandsClient({ address: sandbox.address });
    const workspace = client.workspace("bench/exec", 1n);
    await workspace.create();
    const pid = sandbox.daemonPid();
    await echo(workspace);
    await readBytes(workspace, 1_000_001);
    expect(await besideBulk(workspace, () => echo(workspace).then(() => "both"))).toBe("both");
    expect(residentBytes(pid)).toBeGreaterThan(20e6);
    client.close();
    await sandbox.close();
    expect(commandLine(pid)).toEqual([]);
  });

  test("type into a terminal of the real daemon, key by key", async () => {
    const sandbox = await startSandbox(false);
    const client = new HandsClient({ address: sandbox.address });
    const workspace = client.workspace("bench/keys", 1n);
    await workspace.create();
    const keyboard = await Keyboard.open(workspace, "keys");
    for (const key of "typed") await keyboard.press(key);
    expect((await workspace.terminalScreen("keys")).lines[1]).toBe("typed");
    await workspace.closeTerminal("keys");
    await expect(keyboard.press("x")).rejects.toThrow("the terminal's program ended");
    client.close();
    await sandbox.close();
  });

  test("tell what a program said that did not end cleanly", async () => {
    const files = await scratch();
    onTestFinished(() => files.remove());
    await writeFile(files.path("fails.ts"), 'process.stderr.write("no such luck\\n"); process.exitCode = 3;');
    const child = startProgram(files.path("fails.ts"), files.path("log"), {});
    await once(child, "exit");
    await expect(stopProgram(child, files.path("log"))).rejects.toThrow(/ended with 3 and said:\nno such luck/);
  });

  test("start programs without the caller's environment", async () => {
    process.env["BENCH_SECRET"] = "s3cret";
    onTestFinished(() => {
      delete process.env["BENCH_SECRET"];
    });
    const directory = await temporaryDirectory();
    await writeFile(
      `${directory}/env.ts`,
      "process.exitCode = process.env.BENCH_SECRET === undefined && process.env.GIVEN === '1' ? 0 : 1;",
    );
    const child = startProgram(`${directory}/env.ts`, `${directory}/log`, { GIVEN: "1" });
    await once(child, "exit");
    expect(child.exitCode).toBe(0);
  });

  test("use a directory of their own, that they remove", async () => {
    const files = await scratch();
    expect(await readdir(files.path())).toEqual([]);
    await files.remove();
    await expect(readdir(files.path())).rejects.toThrow("ENOENT");
  });
});
