import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AgentHarnessTool,
  BACKGROUND_CONTEXT as C,
  createBashTool,
  createEditTool,
  createReadTool,
  createWriteTool,
  type ExecutionEnv,
} from "@earendil-works/pi-agent-core";
import { NodeExecutionEnv } from "@earendil-works/pi-agent-core/node";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { HandsProcess } from "../testing/index.ts";
import { createTools } from "../tools/index.ts";
import { textOf } from "../tools/tool.ts";
import { NO_GATES } from "./fixtures/no-gates.ts";
import { openWorkspace } from "./fixtures/workspace.ts";

let hands: HandsProcess;
beforeAll(async () => {
  hands = await HandsProcess.start();
});
afterAll(() => hands.stop());

type AnyTool = AgentHarnessTool<{ env: never }>;
const PI_TOOLS = [createReadTool(), createBashTool(), createEditTool(), createWriteTool()] as unknown as AnyTool[];

async function localEnv(): Promise<ExecutionEnv> {
  const cwd = await mkdtemp(join(tmpdir(), "harness-env-"));
  onTestFinished(() => rm(cwd, { recursive: true, force: true }));
  return new NodeExecutionEnv({ cwd });
}

let invocations = 0;

/** Call a tool as the harness would; what it throws is what the model is told. */
async function call(tools: AnyTool[], env: ExecutionEnv, name: string, args: unknown, invocationId = `call-${++invocations}`) {
  const tool = tools.find((each) => each.name === name);
  if (tool === undefined) throw new Error(`no tool ${name}`);
  const invocation = {
    invocationId,
    operationId: "op",
    turnId: "turn",
    getMemo: async () => undefined,
    setMemo: async () => undefined,
  };
  try {
    const prepared = tool.prepareArguments?.(args) ?? args;
    const result = await tool.execute("toolu", prepared, () => undefined, { env: env as never }, invocation, C);
    return { text: textOf(result.content), details: result.details };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** A command that fails, or is killed, while the kernel counts that a limit of its workspace was reached. The test plays the kernel. */
async function runIntoLimit(file: string, count: (value: number) => string, fail: string) {
  const cgroup = await mkdtemp(join(tmpdir(), "harness-cgroup-"));
  const events = join(cgroup, "test%2Flimited", file);
  await mkdir(join(cgroup, "test%2Flimited"));
  await Promise.all([
    writeFile(join(cgroup, "cgroup.controllers"), "memory pids\n"),
    writeFile(join(cgroup, "cgroup.subtree_control"), ""),
    writeFile(events, count(0)),
  ]);
  const limited = await HandsProcess.start({ HANDS_CGROUP: cgroup, HANDS_PROCESSES: "77", HANDS_MEMORY_BYTES: "123456789" });
  onTestFinished(async () => {
    await limited.stop();
    await rm(cgroup, { recursive: true });
  });
  const { env } = await openWorkspace(limited, "test/limited");
  await call(ours(), env, "bash", { command: "mkfifo begun go" });
  const told = call(ours(), env, "bash", { command: `echo >begun; cat go; ${fail}` });
  await readFile(join(env.cwd, "begun"));
  await writeFile(events, count(1));
  await writeFile(join(env.cwd, "go"), "went on\n");
  return told;
}

describe("a command that reaches a limit of its workspace is told which one and what it is", () => {
  test("processes", async () => {
    const { error } = await runIntoLimit("pids.events", (value) => `max ${value}\n`, "exit 4");
    expect(error).toMatch(
      /^went on\n+\[while it ran its workspace had as many processes and threads as it may have, 77 \(HANDS_PROCESSES\)\]/,
    );
    expect(error).toContain("Command exited with code 4");
  });

  test("memory", async () => {
    const { error } = await runIntoLimit("memory.events", (value) => `oom_kill ${value}\n`, "kill -9 $$");
    expect(error).toContain("HANDS_MEMORY_BYTES: 123456789 bytes");
  });
});

const observer = { started: () => undefined, output: () => undefined };
const ours = () => createTools(observer, NO_GATES) as unknown as AnyTool[];

/** Without the unchanged lines in diffs: Pi shows four around a change, the sandbox three. */
function withoutContext(results: unknown[]): unknown {
  const changed = (text: string) =>
    text
      .split("\n")
      .filter((line) => /^[+-]/.test(line))
      .map((line) => line.replace(/^([+-]) +/, "$1").replace(/\r$/, ""));
  return JSON.parse(
    JSON.stringify(results, (key, value: unknown) =>
      (key === "diff" || key === "patch") && typeof value === "string" ? changed(value) : value,
    ),
  );
}

/** The same calls of Pi's tools on this machine, and of ours in the sandbox. */
async function both(calls: ReadonlyArray<readonly [name: string, args: unknown]>) {
  const local = await localEnv();
  const { env } = await openWorkspace(hands);
  const results: { pi: unknown[]; ours: unknown[] } = { pi: [], ours: [] };
  for (const [name, args] of calls) {
    results.pi.push(JSON.parse(JSON.stringify(await call(PI_TOOLS, local, name, args)).replaceAll(local.cwd, "<cwd>")));
    results.ours.push(JSON.parse(JSON.stringify(await call(ours(), env, name, args)).replaceAll(env.cwd, "<cwd>")));
  }
  return results;
}

const LONG = Array.from({ length: 1200 }, (_, index) => `line ${index + 1}`).join("\n");

test("read says what a file is that is no text, and write and edit tell of other names of theirs", async () => {
  const env = (await openWorkspace(hands)).env;
  const say = async (name: string, args: unknown) => (await call(ours(), env, name, args)).text;
  const put = (path: string, data: Buffer) => env.writeFile(path, data, C);
  await put("u.txt", Buffer.from("\ufeffhello wörld\n", "utf16le"));
  await put("bare.txt", Buffer.from("hello world, without a mark\n", "utf16le"));
  await put("a.bin", Buffer.from([1, 2, 0, 3]));
  await put("noise", Buffer.from(Array.from({ length: 200 }, (_, index) => 128 + (index % 100))));
  await put("latin1.txt", Buffer.from("caf\xe9 and a longer text\n", "latin1"));
  expect(await say("read", { path: "u.txt" })).toMatch(/^\[u\.txt has 26 bytes .* text in UTF-16LE: .*iconv -f UTF-16LE/);
  expect(await say("read", { path: "bare.txt" })).toContain("UTF-16LE");
  for (const path of ["a.bin", "noise"]) expect(await say("read", { path }), path).toContain("a binary file");
  expect(await say("read", { path: "latin1.txt" })).toContain("and a longer text");
  await call(ours(), env, "bash", { command: "ln u.txt other" });
  expect(await say("write", { path: "u.txt", content: "new" })).toContain("1 other name(s)");
  await call(ours(), env, "bash", { command: "ln u.txt again" });
  expect(await say("edit", { path: "u.txt", edits: [{ oldText: "new", newText: "newer" }] })).toContain("1 other name(s)");
  expect(await say("edit", { path: "u.txt", edits: [{ oldText: "newer", newText: "newest" }] })).not.toContain("other name");
});

describe("read, write, bash and edit tell what Pi's own tell", () => {
  test("when files are written and read", async () => {
    const results = await both([
      ["write", { path: "a/b.txt", content: "one\ntwo\nthree\n" }],
      ["read", { path: "a/b.txt" }],
      ["read", { path: "a/b.txt", offset: 2, limit: 1 }],
      ["read", { path: "a/b.txt", offset: 99 }],
      ["write", { path: "long.txt", content: `${LONG}\n`.repeat(3) }],
      ["read", { path: "long.txt" }],
      ["read", { path: "long.txt", offset: 2001, limit: 3 }],
      ["write", { path: "wide.txt", content: "x".repeat(60_000) }],
      ["read", { path: "wide.txt" }],
    ]);
    expect(results.ours).toEqual(results.pi);
  });

  test("when commands run", async () => {
    const results = await both([
      ["bash", { command: "echo hi; echo err >&2" }],
      ["bash", { command: "exit 4" }],
      ["bash", { command: "echo some; exit 4" }],
      ["bash", { command: "true" }],
      ["bash", { command: "echo begun; sleep 30", timeout: 0.3 }],
      ["bash", { command: "true", timeout: -1 }],
      ["bash", { command: "pwd" }],
    ]);
    expect(results.ours).toEqual(results.pi);
  });

  test("when a command says more than is shown", async () => {
    const { pi, ours: sandboxed } = await both([
      ["bash", { command: "seq 3000" }],
      ["bash", { command: "yes 0123456789012345678901234567890123456789 | head -n 1900" }],
    ]);
    const withoutPath = (results: unknown[]) => JSON.stringify(results).replace(/(Full output: |fullOutputPath":")[^\]"]*/g, "$1somewhere");
    expect(withoutPath(sandboxed)).toBe(withoutPath(pi));
  });

  test.each([
    ["a line in the middle", "one\ntwo\nthree\n", [{ oldText: "two", newText: "2" }]],
    ["the first line", "one\ntwo\nthree\n", [{ oldText: "one\n", newText: "" }]],
    ["the last line, which has no end", "one\ntwo", [{ oldText: "two", newText: "two\nthree" }]],
    ["lines into nothing", "one\n", [{ oldText: "one\n", newText: "" }]],
    [
      "two places that are far apart",
      `${LONG}\n`,
      [
        { oldText: "line 10\n", newText: "ten\n" },
        { oldText: "line 1000\n", newText: "a\nb\nc\n" },
      ],
    ],
    [
      "two places that are near each other",
      `${LONG}\n`,
      [
        { oldText: "line 15\n", newText: "" },
        { oldText: "line 20\n", newText: "20\n" },
      ],
    ],
    ["a place in a long file", `${LONG}\n`, [{ oldText: "line 5\n", newText: "5\n" }]],
    ["a file with the other line endings", "one\r\ntwo\r\n", [{ oldText: "one\ntwo", newText: "1\n2" }]],
    ["more lines than a number's width before", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", [{ oldText: "9\n", newText: "9\n10\n11\n" }]],
  ])("when %s is edited", async (_what, content, edits) => {
    const results = await both([
      ["write", { path: "f", content }],
      ["edit", { path: "f", edits }],
      ["bash", { command: "od -c f | md5sum" }],
    ]);
    expect(withoutContext(results.ours)).toEqual(withoutContext(results.pi));
  });

  test("when an edit takes another of the shapes that models use", async () => {
    const results = await both([
      ["write", { path: "f", content: "one two" }],
      ["edit", { path: "f", oldText: "one", newText: "1" }],
      ["edit", { path: "f", edits: JSON.stringify([{ oldText: "two", newText: "2" }]) }],
      ["edit", { path: "f", edits: { oldText: "2", newText: "3" } }],
      ["read", { path: "f" }],
    ]);
    expect(withoutContext(results.ours)).toEqual(withoutContext(results.pi));
  });

  test("when an edit can't be made", async () => {
    const results = await both([
      ["write", { path: "f", content: "same\nsame\nother\n" }],
      ["edit", { path: "missing", edits: [{ oldText: "a", newText: "b" }] }],
      ["edit", { path: ".", edits: [{ oldText: "a", newText: "b" }] }],
      ["edit", { path: "f", edits: [] }],
      ["edit", { path: "f", edits: [{ oldText: "", newText: "b" }] }],
      ["edit", { path: "f", edits: [{ oldText: "absent", newText: "b" }] }],
      ["edit", { path: "f", edits: [{ oldText: "other", newText: "other" }] }],
      [
        "edit",
        {
          path: "f",
          edits: [
            { oldText: "other", newText: "b" },
            { oldText: "absent", newText: "c" },
          ],
        },
      ],
      ["read", { path: "f" }],
    ]);
    expect(results.ours).toEqual(results.pi);
  });

  test("or that the sandbox finds no single place for an edit", async () => {
    const { env } = await openWorkspace(hands);
    const edit = (...edits: Array<{ oldText: string; newText: string }>) => call(ours(), env, "edit", { path: "f", edits });
    await call(ours(), env, "write", { path: "f", content: "same\nsame\nother\n" });
    expect(await edit({ oldText: "same", newText: "b" })).toEqual({
      error: "Found several occurrences of the text in f. The text must be unique. Please provide more context to make it unique.",
    });
    expect(await edit({ oldText: "same\nother", newText: "b" }, { oldText: "other", newText: "c" })).toEqual({
      error: "edits[1] overlaps with another edit in f. Merge them into one edit or target disjoint regions.",
    });
    await call(ours(), env, "bash", { command: "printf '\\xff' >f" });
    expect(await edit({ oldText: "a", newText: "b" })).toEqual({ error: "Could not edit file: f. It is no UTF-8 text: use bash instead." });
  });
});

describe("a tool call that is replayed", () => {
  test("edits once, and tells the same again", async () => {
    const { env } = await openWorkspace(hands);
    await call(ours(), env, "write", { path: "f", content: "a\n" });
    const edit = () => call(ours(), env, "edit", { path: "f", edits: [{ oldText: "a\n", newText: "a\na2\n" }] }, "the-edit");
    const first = await edit();
    expect(first).toMatchObject({ text: "Successfully replaced 1 block(s) in f." });
    expect(await edit()).toEqual(first);
    expect(await call(ours(), env, "read", { path: "f" })).toMatchObject({ text: "a\na2\n" });
  });

  test("writes once, even where another wrote in between", async () => {
    const { env } = await openWorkspace(hands);
    await call(ours(), env, "write", { path: "f", content: "first" }, "the-write");
    await call(ours(), env, "write", { path: "f", content: "second" });
    expect(await call(ours(), env, "write", { path: "f", content: "first" }, "the-write")).toMatchObject({ text: expect.any(String) });
    expect(await call(ours(), env, "read", { path: "f" })).toMatchObject({ text: "second" });
  });
});

test("parallel edits of one file are all made", async () => {
  const { env } = await openWorkspace(hands);
  const words = Array.from({ length: 8 }, (_, index) => `word${index}`);
  await call(ours(), env, "write", { path: "f", content: words.join("\n") });
  const tools = ours();
  await Promise.all(words.map((word) => call(tools, env, "edit", { path: "f", edits: [{ oldText: word, newText: word.toUpperCase() }] })));
  expect(await call(tools, env, "read", { path: "f" })).toMatchObject({ text: words.join("\n").toUpperCase() });
});

describe("grep, find and ls", () => {
  async function tree() {
    const { env } = await openWorkspace(hands);
    const script =
      "mkdir -p src/deep .hidden; printf 'alpha\\nBeta\\n' >src/a.ts; printf 'x\\nbeta\\ny\\nz\\nbeta(\\n' >src/deep/b.ts; echo '*.log' >.gitignore; echo beta >x.log; ln -s src link; git init -q .";
    await call(ours(), env, "bash", { command: script });
    return { env, run: (name: string, args: unknown) => call(ours(), env, name, args) };
  }

  test("ls shows what is in a directory", async () => {
    const { run } = await tree();
    expect(await run("ls", {})).toEqual({ text: ".git/\n.gitignore\n.hidden/\nlink@\nsrc/\nx.log", details: undefined });
    expect(await run("ls", { path: ".hidden" })).toMatchObject({ text: "(empty directory)" });
    expect(await run("ls", { limit: 2 })).toMatchObject({ text: ".git/\n.gitignore\n\n[2 of 6 entries shown, use limit=4 for more]" });
    expect(await run("ls", { path: "missing" })).toMatchObject({ error: expect.stringContaining("missing") });
    expect(await run("ls", { path: "x.log" })).toMatchObject({ error: expect.stringContaining("x.log") });
  });

  test("find looks for names and honours .gitignore", async () => {
    const { run } = await tree();
    expect(await run("find", { pattern: "*.ts" })).toMatchObject({ text: "src/a.ts\nsrc/deep/b.ts" });
    expect(await run("find", { pattern: "*.log" })).toMatchObject({ text: "No files found matching *.log" });
    expect(await run("find", { pattern: "*.ts", path: "src", limit: 1 })).toMatchObject({
      text: expect.stringMatching(/^a\.ts\n\n\[1 results limit reached/),
    });
    expect(await run("find", { pattern: "*.ts", path: "missing" })).toMatchObject({ error: expect.stringContaining("missing") });
  });

  test("grep looks for text and shows where it is", async () => {
    const { run } = await tree();
    expect(await run("grep", { pattern: "beta" })).toMatchObject({ text: "src/deep/b.ts:2: beta\nsrc/deep/b.ts:5: beta(" });
    expect(await run("grep", { pattern: "BETA", ignoreCase: true, glob: "a.*" })).toMatchObject({ text: "src/a.ts:2: Beta" });
    expect(await run("grep", { pattern: "beta(", literal: true })).toMatchObject({ text: "src/deep/b.ts:5: beta(" });
    expect(await run("grep", { pattern: "beta", path: "src/deep", context: 1 })).toMatchObject({
      text: "src/deep/b.ts-1- x\nsrc/deep/b.ts:2: beta\nsrc/deep/b.ts-3- y\nsrc/deep/b.ts-4- z\nsrc/deep/b.ts:5: beta(",
    });
    expect(await run("grep", { pattern: "beta", limit: 1 })).toMatchObject({ text: expect.stringContaining("[1 matches limit reached") });
    expect(await run("grep", { pattern: "nowhere" })).toMatchObject({ text: "No matches found" });
    expect(await run("grep", { pattern: "beta(" })).toMatchObject({ error: expect.stringMatching(/regex|parse|unclosed/i) });
  });

  test("no answer is larger than a model should read at once", async () => {
    const { run } = await tree();
    await run("bash", {
      command:
        "mkdir many; cd many; for i in $(seq 3000); do echo a-line-of-some-length-$i; done >lines; seq 1 3000 | sed 's/^/a-rather-long-file-name-/' | xargs touch",
    });
    for (const [name, args] of [
      ["ls", { path: "many", limit: 5000 }],
      ["find", { pattern: "a-rather*", limit: 5000 }],
      ["grep", { pattern: "line", limit: 5000 }],
    ] as const) {
      const { text } = (await run(name, args)) as { text: string };
      expect(text).toMatch(/\[.*50\.0KB limit reached/);
      expect(Buffer.byteLength(text)).toBeLessThan(52_000);
    }
  });
});
