import { chownSync, mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { logText } from "../commands/logs.ts";
import { callError } from "../dispatcher/call.ts";
import { ExitCode } from "../errors.ts";
import { clean, cleanJson, cleanLine, createPaint, painted, seenLength } from "../output.ts";
import { announcedAddress, lastLines, openLog } from "../stack/log-file.ts";
import { modelEnvironment, planModel } from "../stack/model.ts";
import { stackPaths } from "../stack/paths.ts";
import { ensurePrivateDirectory } from "../stack/private-files.ts";
import { duration, firstLine } from "../view/format.ts";

describe("the choice of a model", () => {
  test("without a key is the stand-in, and says so with the variables that use a real one", () => {
    const plan = planModel({}, undefined);
    expect(plan).toMatchObject({ standIn: true });
    expect(plan.notes.join(" ")).toMatch(/stand-in.*ANTHROPIC_API_KEY.*ANTHROPIC_BASE_URL.*LEAF_MODEL/);
  });

  test.each([
    [{ ANTHROPIC_API_KEY: "k" }, undefined, "anthropic/claude-sonnet-4-5"],
    [{ ANTHROPIC_BASE_URL: "http://gateway", ANTHROPIC_AUTH_TOKEN: "t" }, undefined, "anthropic/claude-sonnet-4-5"],
    [{ OPENAI_API_KEY: "k", LEAF_MODEL: "openai/gpt-5" }, undefined, "openai/gpt-5"],
    [{ OPENAI_API_KEY: "k", LEAF_MODEL: "openai/gpt-5", MISTRAL_API_KEY: "k" }, "mistral/large", "mistral/large"],
    [{ LEAF_MODEL: "amazon-bedrock/anthropic.claude" }, undefined, "amazon-bedrock/anthropic.claude"],
  ])("with %j and --model %s is a real one", (environment, wanted, model) => {
    expect(planModel(environment, wanted)).toEqual({ standIn: false, model, notes: [] });
  });

  test("is never silently the stand-in where a model was asked for", () => {
    expect(() => planModel({ LEAF_MODEL: "openai/gpt-5" }, undefined)).toThrow("needs a key: set OPENAI_API_KEY");
    expect(() => planModel({ ANTHROPIC_API_KEY: "" }, "anthropic/claude-sonnet-4-5")).toThrow("needs a key: set ANTHROPIC_API_KEY");
  });

  test("tells of another provider's key that is set but not used", () => {
    expect(planModel({ GEMINI_API_KEY: "k" }, undefined).notes).toContain(
      "GEMINI_API_KEY is set: to use it, set LEAF_MODEL=google/MODEL as well.",
    );
  });

  test("that is the stand-in keeps a real key from being sent to it, and a real model gets the environment as it is", () => {
    const environment = { ANTHROPIC_API_KEY: "secret", ANTHROPIC_OAUTH_TOKEN: "secret", HOME: "/home/me" };
    const standIn = modelEnvironment(planModel(environment, "stand-in"), environment, "http://127.0.0.1:1");
    expect(Object.values(standIn)).not.toContain("secret");
    expect(standIn).toMatchObject({ STAND_IN_BASE_URL: "http://127.0.0.1:1", LEAF_MODEL: "stand-in/scripted", HOME: "/home/me" });
    expect(modelEnvironment(planModel(environment, undefined), environment, "")).toMatchObject(environment);
  });
});

describe("a private directory", () => {
  test("is made for its owner alone, and made so where it was open", async () => {
    const path = join(await temporaryDirectory(), "a", "b");
    mkdirSync(path, { recursive: true, mode: 0o755 });
    ensurePrivateDirectory(path);
    expect((statSync(path).mode & 0o777).toString(8)).toBe("700");
  });

  test("is not taken from where somebody else prepared it: a link, or another user's directory", async () => {
    const directory = await temporaryDirectory();
    mkdirSync(join(directory, "target"));
    symlinkSync(join(directory, "target"), join(directory, "link"));
    expect(() => ensurePrivateDirectory(join(directory, "link"))).toThrow("is not a directory");
    // Giving a directory away takes root; anybody else has one that is not theirs at hand.
    const foreign = process.getuid?.() === 0 ? join(directory, "target") : "/";
    if (foreign !== "/") chownSync(foreign, 65534, 65534);
    expect(() => ensurePrivateDirectory(foreign)).toThrow("belongs to another user");
  });

  test("of a socket has a short path however long the state directory's is, and one for each", () => {
    const long = (name: string): string => stackPaths(`/${name.repeat(120)}`).handsSocket;
    expect(Buffer.byteLength(long("a"))).toBeLessThanOrEqual(100);
    expect(long("a")).not.toBe(long("b"));
    expect(stackPaths("/short").handsSocket).toBe("/short/run/hands/hands.sock");
  });
});

describe("a log", () => {
  test("that has grown large is set aside when its service starts anew", async () => {
    const path = join(await temporaryDirectory(), "x.log");
    writeFileSync(path, "old\n");
    truncateSync(path, 11 * 1024 * 1024);
    const { fd, offset } = openLog(path);
    writeSync(fd, "new\n");
    expect({ offset, text: readFileSync(path, "utf8"), old: statSync(`${path}.1`).size }).toEqual({
      offset: 0,
      text: "new\n",
      old: 11 * 1024 * 1024,
    });
  });

  test("tells the address that a service announced after its start, not one of before", async () => {
    const path = join(await temporaryDirectory(), "x.log");
    writeFileSync(path, '{"url":"http://127.0.0.1:1"}\n');
    const { fd, offset } = openLog(path);
    expect(announcedAddress(path, offset)).toBeUndefined();
    writeSync(fd, 'noise\n{"level":30,"address":"http://127.0.0.1:2","msg":"listens"}\n');
    expect(announcedAddress(path, offset)).toBe("http://127.0.0.1:2");
    expect(lastLines(path, 2)).toHaveLength(2);
  });
});

describe("text for humans", () => {
  test("carries nothing that steers a terminal", () => {
    expect(clean("a\u001b[31mb\u0007\r\nc\td\u009be\u007f\u202ef\rg")).toBe("a␛[31mb␇\nc\td\\u009be␡\\u202ef␍g");
    expect(cleanLine("a\nb\u001b")).toBe("a␊b␛");
    const value = { text: "a\u001b\u007f\u009b\u2028\u202e\u2069" };
    expect(JSON.parse(cleanJson(JSON.stringify(value)))).toEqual(value);
    expect(cleanJson(JSON.stringify(value))).toMatch(/^[\x20-\x7e]*$/);
    expect(firstLine("\n  one two three\nfour", 7)).toBe("one tw…");
  });

  test("has the colours that we give it, and none of its own", () => {
    const { red } = createPaint(true);
    const text = `${red("ours \u001b[32mtheirs")} \u001b[31mtheirs`;
    expect(painted(text)).toBe("\u001b[31mours ␛[32mtheirs\u001b[39m ␛[31mtheirs");
    expect(seenLength(text)).toBe("ours ␛[32mtheirs ␛[31mtheirs".length);
    expect(createPaint(false).red("a\u001b")).toBe("a␛");
  });

  test.each([
    ["a message", { msg: "a\u001b]52;c;aGk=\u0007\nforged" }, "a␛]52;c;aGk=␇␊forged"],
    ["a message that is no text", { msg: { a: "\u001b" } }, '{"a":"\\u001b"}'],
    ["a field", { msg: "m", session: "s\u001b[2J\nforged" }, "session=s␛[2J␊forged"],
    ["a field's name", { msg: "m", "a\u001b\nb": 1 }, "a␛␊b=1"],
  ])("a log line shows %s without what steers", (_, fields, shown) => {
    const text = painted(logText("brain", JSON.stringify({ level: 30, time: 1, ...fields }), createPaint(true)));
    expect(text).toContain(shown);
    expect(text.split("\n")).toHaveLength(1);
  });

  test.each([
    '{"time":1e300,"msg":"a\u001b"}',
    '{"time":1e999,"msg":"a\u001b"}',
    '{"time":-8640000000000001,"msg":"a\u001b"}',
    "no JSON \u001b[2J",
    '"a text"',
    "[1]",
    "null",
  ])("the log line %j, which can't be read, is shown as it is, but clean", (line) => {
    expect(painted(logText("brain", line, createPaint(false)))).toContain(clean(line));
  });

  test.each([
    [400, "0.4 s"],
    [72_000, "1 m 12 s"],
    [11_100_000, "3 h 5 m"],
    [187_200_000, "2 d 4 h"],
  ])("%i ms are %s", (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});

test.each([
  ["unavailable", "can't reach the dispatcher: why; see `leaf status`, start it with `leaf up`"],
  ["audit_unavailable", "the dispatcher can't do this now: why"],
  ["shutting_down", "the dispatcher can't do this now: why"],
])("a dispatcher that is away is told from one that answers that it can't: %s", (reason, message) => {
  expect(callError(new HarnessError(Code.Unavailable, reason, "why"))).toMatchObject({ exitCode: ExitCode.notRunning, message });
});
