import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BACKGROUND_CONTEXT as C, type ExecutionEnv, HarnessClosed, HarnessFault } from "@earendil-works/pi-agent-core";
import { NodeExecutionEnv } from "@earendil-works/pi-agent-core/node";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { withInvocation } from "../env/context.ts";
import { census, HandsProcess } from "../testing/index.ts";
import { comparable, EXEC_CASES, ran } from "./fixtures/exec-cases.ts";
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

/** Opening a FIFO blocks until its other end is there: the command waits for the test, and the test for the command. */
const HELD = "echo begun; echo >begun; cat go; echo done >>log; echo done";
const makeGates = (env: ExecutionEnv) => env.exec("mkfifo begun go", undefined, C);
const begun = (env: ExecutionEnv) => readFile(join(env.cwd, "begun"));
const letGo = (env: ExecutionEnv) => env.exec("echo went >go", undefined, C);

describe("commands in the sandbox behave as Pi's own environment has them", () => {
  test.each(EXEC_CASES)("$name", async ({ command, options }) => {
    const local = comparable(await ran(await localEnv(), command, options));
    const { env } = await openWorkspace(hands);
    expect(comparable(await ran(env, command, options))).toEqual(local);
  });

  test("the whole of an output over its limits is kept where a command can read it", async () => {
    const { env } = await openWorkspace(hands);
    const { view } = await ran(env, "seq 20000", { capture: { limits: { maxBytes: 100, maxLines: 10 }, spill: true } });
    const { view: whole } = await ran(env, `md5sum <${view?.spillPath}; seq 20000 | md5sum`);
    const [kept, expected] = whole?.text.split("\n") ?? [];
    expect(kept).toBe(expected);
  });

  test("an output that is far larger than what its reader lets through is counted to the last line", async () => {
    const { env } = await openWorkspace(hands);
    const { view } = await ran(env, "seq 3000000");
    expect(view?.truncation).toMatchObject({ totalLines: 3_000_000, truncated: true, truncatedBy: "lines", outputLines: 2000 });
    expect(view?.text.split("\n")).toEqual(Array.from({ length: 2000 }, (_, index) => String(2_998_001 + index)));
  });

  test("a command whose reader throws is ended", async () => {
    const { env } = await openWorkspace(hands);
    const onUpdate = () => {
      throw new Error("no more");
    };
    expect(await ran(env, "echo x; sleep 30", { onUpdate })).toMatchObject({ code: "callback_error", message: "no more" });
    const local = await localEnv();
    expect(await ran(local, "echo x; sleep 30", { onUpdate })).toMatchObject({ code: "callback_error", message: "no more" });
  });

  test("a command is not started for a context that is aborted already", async () => {
    const { env } = await openWorkspace(hands);
    const { context, abort } = abortable();
    abort();
    expect(await ran(env, "touch started", {}, context)).toMatchObject({ code: "aborted" });
    expect((await env.exists("started", C)).ok && (await env.exists("started", C))).toEqual({ ok: true, value: false });
  });
});

describe("aborted or let go of", () => {
  test("an abort ends the command with all its children, and waits for that", async () => {
    const { env } = await openWorkspace(hands);
    await makeGates(env);
    const { context, abort } = abortable();
    const run = ran(env, `sleep 1234.5 & ${HELD}`, {}, context);
    await begun(env);
    expect((await ran(env, census("sleep 1234.5"))).view?.text).toBe("1\n");
    abort();
    expect(await run).toMatchObject({ code: "aborted", view: { text: "begun\n" } });
    expect((await ran(env, census("sleep 1234.5"))).view?.text).toBe("0\n");
  });

  test.each([
    ["closes", new HarnessClosed()],
    ["faults", new HarnessFault("refused", new Error("stale"))],
  ])("when the harness %s, the command goes on, and its replay gets all of the output", async (_how, reason) => {
    const { env } = await openWorkspace(hands);
    await makeGates(env);
    const { context, abort } = abortable();
    const first = ran(env, HELD, {}, withInvocation("call", context));
    await begun(env);
    abort(reason);
    expect(await first).toMatchObject({ code: "aborted" });
    const replay = ran(env, HELD, {}, withInvocation("call", C));
    await letGo(env);
    expect(await replay).toMatchObject({ exitCode: 0, view: { text: "begun\nwent\ndone\n" } });
    const { view } = await ran(env, "cat log");
    expect(view?.text).toBe("done\n");
  });

  test("a command that ended long ago tells its output and its end again, and does not run again", async () => {
    const { env } = await openWorkspace(hands);
    const call = () => withInvocation("call", C);
    const first = await ran(env, "echo out; echo ran >>log; exit 7", {}, call());
    expect(await ran(env, "echo out; echo ran >>log; exit 7", {}, call())).toEqual(first);
    expect(first).toMatchObject({ exitCode: 7, view: { text: "out\n" } });
    expect((await ran(env, "cat log")).view?.text).toBe("ran\n");
  });

  test("the second command of one tool call is another one, in a replay as well", async () => {
    const { env } = await openWorkspace(hands);
    for (let i = 0; i < 2; i++) {
      const context = withInvocation("call", C);
      expect((await ran(env, "echo one | tee -a log", {}, context)).view?.text).toBe("one\n");
      expect((await ran(env, "echo two | tee -a log", {}, context)).view?.text).toBe("two\n");
    }
    expect((await ran(env, "cat log")).view?.text).toBe("one\ntwo\n");
  });
});

describe("when the sandbox dies under a command", () => {
  test("the model is told that the outcome is unknown, and the command is not run again", async () => {
    const own = await HandsProcess.start();
    onTestFinished(() => own.stop());
    const { env } = await openWorkspace(own);
    await makeGates(env);
    const run = ran(env, `echo ran >>log; ${HELD}`, {}, withInvocation("call", C));
    await begun(env);
    await own.kill();
    own.restart();
    expect(await run).toMatchObject({ code: "unknown", message: expect.stringMatching(/sandbox died.*unknown.*not run again/s) });
    expect((await ran(env, "cat log")).view?.text).toBe("ran\n");
  });
});
