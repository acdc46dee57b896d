import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BACKGROUND_CONTEXT as C, type ExecutionEnv } from "@earendil-works/pi-agent-core";
import { NodeExecutionEnv } from "@earendil-works/pi-agent-core/node";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { withInvocation } from "../env/context.ts";
import { HandsProcess } from "../testing/index.ts";
import { FILE_CASES, told } from "./fixtures/file-cases.ts";
import { abortable, openWorkspace } from "./fixtures/workspace.ts";

let hands: HandsProcess;
beforeAll(async () => {
  hands = await HandsProcess.start();
});
afterAll(() => hands.stop());

async function localEnv(): Promise<ExecutionEnv> {
  const cwd = await mkdtemp(join(tmpdir(), "harness-env-"));
  onTestFinished(() => rm(cwd, { recursive: true, force: true }));
  return new NodeExecutionEnv({ cwd });
}

/** The results with the one directory that differs put aside. */
function withoutCwd(results: unknown[], env: ExecutionEnv): unknown {
  return JSON.parse(JSON.stringify(results).replaceAll(env.cwd, "<cwd>"));
}

describe("files in the sandbox behave as Pi's own environment has them", () => {
  test.each(FILE_CASES)("%s", async (_name, steps) => {
    const local = await localEnv();
    const { env } = await openWorkspace(hands);
    expect(withoutCwd(await steps(env), env)).toEqual(withoutCwd(await steps(local), local));
  });

  test("an aborted context stops every method before it does anything", async () => {
    const steps = async (env: ExecutionEnv): Promise<unknown[]> => {
      const { context, abort } = abortable();
      abort();
      return [
        await told(env.writeFile("a", "x", context)),
        await told(env.readTextFile("a", context)),
        await told(env.readBinaryFile("a", context)),
        await told(env.openTextLineReader("a", context)),
        await told(env.readTextLines("a", undefined, context)),
        await told(env.appendFile("a", "x", context)),
        await told(env.renameFile("a", "b", context)),
        await told(env.fileInfo("a", context)),
        await told(env.listDir(".", context)),
        await told(env.canonicalPath("a", context)),
        await told(env.exists("a", context)),
        await told(env.createDir("d", undefined, context)),
        await told(env.remove("a", undefined, context)),
        await told(env.createTempDir(undefined, context)),
        await told(env.createTempFile(undefined, context)),
        await told(env.exists("a", C)),
      ];
    };
    const local = await localEnv();
    const { env } = await openWorkspace(hands);
    expect(await steps(env)).toEqual(await steps(local));
  });
});

describe("where the sandbox differs from a local environment", () => {
  test("nothing outside of the workspace is in reach, not even through a link or the home directory", async () => {
    const { env } = await openWorkspace(hands);
    await env.exec("ln -s /etc etc", undefined, C);
    const code = "permission_denied";
    expect(await told(env.readTextFile("/etc/passwd", C))).toEqual({ ok: false, code });
    expect(await told(env.readTextFile("../../../etc/passwd", C))).toEqual({ ok: false, code });
    expect(await told(env.readTextFile("etc/passwd", C))).toEqual({ ok: false, code });
    expect(await told(env.readTextFile("~/.bashrc", C))).toEqual({ ok: false, code });
    expect(await told(env.writeFile("etc/new", "x", C))).toEqual({ ok: false, code });
    expect(await told(env.renameFile("etc", "/tmp/etc", C))).toEqual({ ok: false, code });
  });

  test("writing below a file names what is wrong, where Pi's own environment does not know it", async () => {
    const { env } = await openWorkspace(hands);
    await env.writeFile("file", "x", C);
    expect(await told(env.writeFile("file/below", "x", C))).toEqual({ ok: false, code: "not_directory" });
  });

  test("removing a directory that is not empty without saying so names the reason", async () => {
    const { env } = await openWorkspace(hands);
    await env.writeFile("d/f", "x", C);
    expect(await told(env.remove("d", undefined, C))).toMatchObject({ ok: false });
    expect(await told(env.exists("d/f", C))).toEqual({ ok: true, value: true });
  });

  test("a file that is too large to be read whole is refused, its first lines are read", async () => {
    const { env } = await openWorkspace(hands);
    await env.exec("yes | head -c 33M > big", undefined, C);
    expect(await told(env.readBinaryFile("big", C))).toEqual({ ok: false, code: "invalid" });
    expect(await told(env.readTextLines("big", { maxLines: 2 }, C))).toEqual({ ok: true, value: ["y", "y"] });
  });

  test("a file that changes under a line reader is noticed", async () => {
    const { env } = await openWorkspace(hands);
    await env.writeFile("l", "x\n".repeat(300_000), C);
    const opened = await env.openTextLineReader("l", C);
    if (!opened.ok) throw opened.error;
    await opened.value.readLine(C);
    await env.writeFile("l", "other", C);
    let line = await opened.value.readLine(C);
    while (line.ok && line.value !== undefined) line = await opened.value.readLine(C);
    expect(line).toMatchObject({ ok: false, error: { code: "invalid" } });
  });

  test("temporary files are made in the workspace, and the same ones for a tool call that is replayed", async () => {
    const { env } = await openWorkspace(hands);
    const first = await env.createTempFile({ prefix: "p-", suffix: ".txt" }, withInvocation("call-1", C));
    const again = await env.createTempFile({ prefix: "p-", suffix: ".txt" }, withInvocation("call-1", C));
    const other = await env.createTempFile({ prefix: "p-", suffix: ".txt" }, withInvocation("call-2", C));
    if (!first.ok) throw first.error;
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    expect(first.value).toMatch(new RegExp(`^${env.cwd}/.+/p-.+\\.txt$`));
    expect(await told(env.readTextFile(first.value, C))).toEqual({ ok: true, value: "" });
  });
});

describe("a change to a file happens once per tool call", () => {
  test("a replayed call repeats nothing and gets the first answer", async () => {
    const { env } = await openWorkspace(hands);
    const call = () => withInvocation("call", C);
    const context = call();
    expect(await told(env.appendFile("log", "1", context))).toMatchObject({ ok: true });
    expect(await told(env.appendFile("log", "2", context))).toMatchObject({ ok: true });
    const replay = call();
    expect(await told(env.appendFile("log", "1", replay))).toMatchObject({ ok: true });
    expect(await told(env.appendFile("log", "2", replay))).toMatchObject({ ok: true });
    expect(await told(env.readTextFile("log", C))).toEqual({ ok: true, value: "12" });
  });

  test("changes outside of a tool call are each their own", async () => {
    const { env } = await openWorkspace(hands);
    for (let i = 0; i < 3; i++) await env.appendFile("log", "x", C);
    expect(await told(env.readTextFile("log", C))).toEqual({ ok: true, value: "xxx" });
  });

  test("an owner that was superseded is told apart from a failed call, and changes nothing", async () => {
    const old = await openWorkspace(hands, "test/taken-over", 1n);
    await old.env.writeFile("f", "old", C);
    const next = await openWorkspace(hands, "test/taken-over", 2n);
    expect(await told(old.env.writeFile("f", "stale", C))).toMatchObject({ ok: false });
    expect(old.lost.map((error) => error.reason)).toEqual(["stale_epoch"]);
    expect(await told(next.env.readTextFile("f", C))).toEqual({ ok: true, value: "old" });
    expect(next.lost).toEqual([]);
  });
});
