import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EXIT_CODE_MEANINGS } from "../errors.ts";
import { EXAMPLES } from "../examples.ts";
import { LEAF, runProgram, temporaryLeaf } from "./leaf.ts";

describe("while nothing runs", () => {
  test.each([
    ["turn", "hello"],
    ["submit", "hello"],
    ["send", "leaf_1", "hello"],
    ["watch", "leaf_1"],
    ["get", "leaf_1"],
    ["list"],
    ["status"],
  ])("leaf %s says to start the stack, in one line, and ends with 3", async (...args) => {
    const leaf = await temporaryLeaf();
    const { code, stdout, stderr } = await leaf.run(args);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toBe(`leaf: nothing is running in ${leaf.dir}: start it with \`leaf up\`\n`);
  });

  test.each([
    ["send", "leaf_1", "hello"],
    ["cancel", "leaf_1"],
    ["approve", "leaf_1"],
  ])("leaf %s needs no name for its user", async (...args) => {
    const { dir } = await temporaryLeaf();
    const nameless = ["--unshare-user", "--uid", "54321", "--dev-bind", "/", "/", "--", process.execPath, LEAF, ...args];
    const { code, stderr } = await runProgram("bwrap", nameless, { env: { LEAF_DIR: dir } });
    expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringContaining("nothing is running") });
  });

  test("leaf down has nothing to do, and makes no state directory", async () => {
    const leaf = await temporaryLeaf();
    expect(await leaf.run(["down"])).toMatchObject({ code: 0, stdout: "nothing was running\n" });
    expect(readdirSync(join(leaf.dir, ".."))).toEqual([]);
  });

  test("leaf ps lists nothing, and leaf logs finds no log", async () => {
    const leaf = await temporaryLeaf();
    expect(await leaf.json("ps")).toEqual({ processes: [] });
    expect(await leaf.run(["logs"])).toMatchObject({ code: 4, stdout: "" });
  });

  test("with --json the error is one JSON document on stderr", async () => {
    const leaf = await temporaryLeaf();
    const { code, stdout, stderr } = await leaf.run(["get", "leaf_1", "--json"]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(JSON.parse(stderr)).toMatchObject({ error: { exitCode: 3, reason: "not_running" } });
  });
});

describe("a wrong command line", () => {
  test.each([
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["turn"], "missing required argument 'prompt'"],
    [["turn", "a", "b"], "too many arguments"],
    [["up", "--port", "99999"], "It must be a whole number from 0 to 65535"],
    [["up", "--sandbox", "vm"], "Allowed choices are bwrap, process"],
    [["list", "--state", "lost"], "It must be one of queued, running"],
    [["turn", "--fork", "@entry", "x"], "It must be a session, or SESSION@ENTRY"],
    [["submit", "--solve", "x"], "--solve needs --repo"],
    [["submit", "--task", "--solve", "--repo", "https://example.com/a.git", "x"], "a leaf is a task or a solve"],
    [["submit", "--input", "a.json", "x"], "--input is for a task"],
    [["submit", "--schema", "nowhere.json", "x"], "nowhere.json can't be read"],
    [["submit", "--repo", "#main", "x"], "It must be a repository's address"],
    [["submit", "--thinking", "deep", "x"], "It must be one of off, low, medium, high"],
    [["send", "leaf_1"], "missing required argument 'text'"],
    [["submit", "--label", "nonsense", "x"], "It must be key=value"],
    [["schedule", "create", "s", "* * * * *"], "missing required argument 'prompt'; see `leaf schedule create --help`"],
    [["schedule", "create", "s", "* * * * *", "x", "--overlap", "wait"], "It must be one of allow, skip, queue"],
    [["schedule", "create", "s", "* * * * *", "x", "--end", "tomorrow"], "It must be a time in ISO 8601"],
    [["schedule", "update", "s", "--prompt", " "], "the prompt is empty"],
    [["cron-dispatch", "nowhere.json"], "nowhere.json can't be read (ENOENT)"],
    [["logs", "kitchen"], "choose one of hands, model, dispatcher, brain"],
  ])("leaf %j is refused in one line that says what is right", async (args, message) => {
    const leaf = await temporaryLeaf();
    const { code, stdout, stderr } = await leaf.run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  test("a setting in the environment that can't be used is named", async () => {
    const leaf = await temporaryLeaf();
    const { code, stderr } = await leaf.run(["status"], { env: { LEAF_PORT: "many" } });
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'leaf: LEAF_PORT is "many": it must be a whole number from 0 to 65535\n' });
  });

  test.each(["", "  \n "])("a blank prompt or message (%j) is refused before anything is asked", async (prompt) => {
    const leaf = await temporaryLeaf();
    expect(await leaf.run(["turn", prompt])).toMatchObject({ code: 2, stderr: expect.stringContaining("the prompt is empty") });
    expect(await leaf.run(["turn", "-"], { stdin: prompt })).toMatchObject({ code: 2 });
    expect(await leaf.run(["send", "leaf_1", prompt])).toMatchObject({
      code: 2,
      stderr: "leaf: the message is empty: say something to the leaf\n",
    });
  });
});

describe("text that is no UTF-8", () => {
  test.each([
    [["turn", "-"], "the prompt on standard input is no UTF-8 text"],
    [["submit", "-"], "the prompt on standard input is no UTF-8 text"],
    [["send", "leaf_1", "-"], "the message on standard input is no UTF-8 text"],
  ])("is refused by leaf %j before anything is asked", async (args, message) => {
    const leaf = await temporaryLeaf();
    const { code, stdout, stderr } = await leaf.run(args, { stdin: Buffer.from([0x61, 0xff, 0xfe, 0x0a]) });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });

  test("is refused in a file of JSON", async () => {
    const leaf = await temporaryLeaf();
    const file = join(leaf.dir, "..", "schema.json");
    writeFileSync(file, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
    expect(await leaf.run(["submit", "--schema", file, "x"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("is no UTF-8 text"),
    });
  });
});

describe("a state directory that is not ours", () => {
  test.each([
    ["of another version", '{"layout":2}', "has layout 2, this version of leaf needs layout 1"],
    ["of no version that can be read", "not JSON", "has layout unknown"],
  ])("one %s is refused by every command, and left as it is", async (_which, version, message) => {
    const leaf = await temporaryLeaf();
    mkdirSync(leaf.dir);
    writeFileSync(join(leaf.dir, "version"), version);
    for (const args of [["up"], ["turn", "x"], ["status"], ["down"], ["ps"], ["logs"]]) {
      const { code, stderr } = await leaf.run(args);
      expect({ args, code }).toEqual({ args, code: 7 });
      expect(stderr).toContain(message);
    }
    expect(readdirSync(leaf.dir)).toEqual(["version"]);
    writeFileSync(join(leaf.dir, "version"), '{"layout":1}');
  });

  test("a directory with other files in it is not taken over", async () => {
    const leaf = await temporaryLeaf();
    mkdirSync(leaf.dir);
    writeFileSync(join(leaf.dir, "thesis.txt"), "years of work");
    expect(await leaf.run(["up"])).toMatchObject({ code: 7, stderr: expect.stringContaining("is not a state directory of leaf") });
    expect(readdirSync(leaf.dir)).toEqual(["thesis.txt"]);
    writeFileSync(join(leaf.dir, "version"), '{"layout":1}');
  });
});

describe("a model that can't be used", () => {
  test.each([
    [["--model", "openai/gpt-5"], "openai/gpt-5 needs a key: set OPENAI_API_KEY"],
    [["--model", "claude"], '"claude" is no model: write provider/model'],
  ])("leaf up %j is refused before anything starts", async (options, message) => {
    const leaf = await temporaryLeaf();
    expect(await leaf.run(["up", ...options])).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
    expect(leaf.processes()).toEqual([]);
  });
});

describe("help", () => {
  test.each(Object.keys(EXAMPLES))("leaf %s --help shows its examples", async (name) => {
    const leaf = await temporaryLeaf();
    const { code, stdout } = await leaf.run([...name.split(" "), "--help"]);
    expect(code).toBe(0);
    for (const { line } of EXAMPLES[name as keyof typeof EXAMPLES]) expect(stdout).toContain(`$ ${line}\n`);
  });

  test("leaf --help lists every command and every exit code", async () => {
    const leaf = await temporaryLeaf();
    const { code, stdout } = await leaf.run(["--help"]);
    expect(code).toBe(0);
    for (const name of Object.keys(EXAMPLES)) expect(stdout).toMatch(new RegExp(`^  ${name.split(" ")[0]} `, "m"));
    for (const [exitCode, meaning] of Object.entries(EXIT_CODE_MEANINGS)) expect(stdout).toContain(`${exitCode}  ${meaning}`);
  });
});

test("leaf schedule lists its commands, and names one that it does not have", async () => {
  const leaf = await temporaryLeaf();
  const { code, stdout } = await leaf.run(["schedule"]);
  expect(code).toBe(0);
  const names = Object.keys(EXAMPLES).flatMap((name) => (name.startsWith("schedule ") ? [name.slice("schedule ".length)] : []));
  expect(names).toHaveLength(8);
  for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  const refused = { code: 2, stdout: "", stderr: "leaf: unknown command 'schedule nap'; see `leaf schedule --help`\n" };
  expect(await leaf.run(["schedule", "nap"])).toEqual(refused);
});

test("started by the machine's own Node, however old, it runs on the checkout's, with its exit code", async () => {
  const ran = await runProgram("node", [LEAF, "get"], { env: { PATH: withoutCheckout(process.env["PATH"] ?? "") } });
  expect(ran).toMatchObject({ code: 2, stdout: "", stderr: "leaf: missing required argument 'leaf_id'; see `leaf get --help`\n" });
});

function withoutCheckout(path: string): string {
  return path
    .split(":")
    .filter((folder) => !folder.endsWith("node_modules/.bin"))
    .join(":");
}
