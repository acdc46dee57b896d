import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { png } from "@serverless-harness/kit/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { jsonLines, type LeafJson, runProgram, sharedStack, shellLine } from "./leaf.ts";

const stack = sharedStack();

describe("leaf turn", () => {
  test("prints the answer on stdout, and the session to go on with on stderr; the next turn knows what was said", async () => {
    const first = await stack.leaf.run(["turn", "Remember the secret word: pineapple"]);
    expect(first).toMatchObject({ code: 0, stdout: "OK\n" });
    const session = /go on with: leaf turn --session (\S+) /.exec(first.stderr)?.[1] ?? "";
    const second = await stack.leaf.run(["turn", "--session", session, "What was the secret word?"]);
    expect(second).toMatchObject({ code: 0, stdout: "The secret word is pineapple.\n" });
  });

  test("--fork goes on from an earlier answer in a session of its own, with a copy of the files", async () => {
    const first = await stack.leaf.run(["turn", "Remember the secret word: pineapple", "--json"]);
    const [{ leaf }, ...events] = jsonLines(first.stdout) as unknown as [LeafJson, ...Array<{ event?: { answer?: { entryId: string } } }>];
    const session = leaf.spec.sessionId;
    const entry = /"entryId": ?"([^"]+)"/.exec(JSON.stringify(events))?.[1] ?? "";
    const watched = await stack.leaf.run(["watch", leaf.leafId]);
    expect(watched.stdout).toMatch(new RegExp(`answer ${entry}$`, "m"));
    await stack.leaf.run(["turn", "--session", session, "Remember the secret word: mango"]);
    await stack.leaf.run(["turn", "--session", session, "Run: echo here >there"]);
    const ask = (point: string, ...more: string[]) => stack.leaf.run(["turn", "--fork", point, ...more, "What was the secret word?"]);
    expect(await ask(`${session}@${entry}`)).toMatchObject({ code: 0, stdout: "The secret word is pineapple.\n" });
    expect(await ask(session, "--session", "mine")).toMatchObject({ code: 0, stdout: "The secret word is mango.\n" });
    const files = await stack.leaf.run(["turn", "--session", "mine", "Run: cat there"]);
    expect(files.stdout).toContain("here");
    expect(await ask(session, "--session", "mine")).toMatchObject({ code: 7, stdout: "" });
    expect(await ask(`${session}@nowhere`)).toMatchObject({ code: 1, stderr: expect.stringContaining("has no entry nowhere") });
    expect(await ask("nobody")).toMatchObject({ code: 4, stderr: expect.stringContaining("there is no session nobody") });
  });

  test("tells that the stand-in answered, under its own name and at no cost", async () => {
    const turn = await stack.leaf.run(["turn", "hello", "--json"]);
    const [{ leaf }] = jsonLines(turn.stdout) as unknown as [LeafJson];
    expect(turn.stdout).toMatch(/"model": ?"stand-in\/scripted"/);
    expect(turn.stdout).toMatch(/"outputTokens": ?"[1-9]/);
    const { stdout } = await stack.leaf.run(["get", leaf.leafId, "--json"]);
    expect(turn.stdout + stdout).not.toMatch(/claude|costMicroUsd/);
  });

  test("shows tool calls on stderr, without colours where it is no terminal", async () => {
    const { code, stdout, stderr } = await stack.leaf.run(["turn", "Run: echo out of the sandbox"]);
    expect(code).toBe(0);
    expect(stdout).toContain("out of the sandbox");
    expect(stderr).toContain("● bash  echo out of the sandbox");
    expect(stdout + stderr).not.toContain("\u001b");
  });

  test("colours what is about the answer where it is told to, and the JSON never", async () => {
    const forced = await stack.leaf.run(["turn", "hello"], { env: { FORCE_COLOR: "1" } });
    expect(forced.stderr).toContain("\u001b[2m");
    const json = await stack.leaf.run(["turn", "hello", "--json"], { env: { FORCE_COLOR: "1" } });
    expect(json.stdout).not.toContain("\u001b");
    const refused = await stack.leaf.run(["list"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } });
    expect(refused.stdout).not.toContain("\u001b");
  });

  test("sends pictures with the prompt, and refuses other files before it asks anybody", async () => {
    const directory = await mkdtemp(join(tmpdir(), "leaf-images-"));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const [picture, words] = [join(directory, "picture"), join(directory, "words.png")];
    const bytes = png();
    await writeFile(picture, bytes);
    await writeFile(`${picture}-cut`, bytes.subarray(0, -8));
    await writeFile(words, "not a picture");
    const prompt = '```script\n{"steps": [{"text": "{{images}}"}]}\n```';
    const seen = await stack.leaf.run(["turn", "--image", picture, "--image", picture, prompt]);
    expect(seen).toMatchObject({ code: 0, stdout: `image/png ${bytes.length}, image/png ${bytes.length}\n` });
    for (const [file, why] of [
      [words, "is no picture that models take"],
      [`${picture}-cut`, "is damaged"],
      [`${picture}s`, "there is no file"],
      [directory, "is no file"],
    ] as const) {
      const refused = await stack.leaf.run(["submit", "--image", file, "hello"]);
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toContain(why);
    }
    const leaf = await stack.leaf.json<LeafJson>("submit", "--image", picture, "hello");
    expect(leaf.leaf.spec).toMatchObject({ images: [{ mediaType: "image/png" }] });
    expect((await stack.leaf.run(["list", "--json"])).stdout).not.toContain("mediaType");
  });

  test("takes the prompt from standard input for -", async () => {
    expect(await stack.leaf.run(["turn", "-"], { stdin: "Run: echo piped" })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("piped"),
    });
  });

  test("with --json writes the leaf, then each event, the terminal one last", async () => {
    const { code, stdout, stderr } = await stack.leaf.run(["turn", "--json", "Run: echo hi"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [first, ...events] = jsonLines(stdout) as [LeafJson, ...Array<{ event: { seq: string; stateChanged?: { state: string } } }>];
    expect(first.leaf.leafId).toMatch(/^leaf_/);
    expect(events.map(({ event }) => Number(event.seq))).toEqual(events.map((_event, index) => index + 1));
    expect(events.at(-1)?.event.stateChanged).toMatchObject({ state: "LEAF_STATE_DONE" });
  });

  test("on an unknown session ends with 4", async () => {
    const { code, stdout, stderr } = await stack.leaf.run(["turn", "--session", "nobody-was-here", "hello"]);
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toMatch(/^leaf: there is no session nobody-was-here: .*\n$/);
  });

  test("with an unknown model ends with 1 and the reason, in one line", async () => {
    const { code, stderr } = await stack.leaf.run(["turn", "--model", "anthropic/claude-nonexistent", "hello"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^leaf: leaf_\S+ failed: \w+: .*claude-nonexistent.*$/m);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("with a model whose provider has no key ends with 1 and names what is missing", async () => {
    const { code, stderr } = await stack.leaf.run(["turn", "--model", "openai/gpt-5", "hello"]);
    expect(code).toBe(1);
    expect(stderr).toContain("OPENAI_API_KEY");
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("with a wrong token ends with 5, and so does every other command that asks the dispatcher", async () => {
    for (const args of [["turn", "hello"], ["list"], ["get", "leaf_1"], ["status"]]) {
      const { code, stdout, stderr } = await stack.leaf.run(args, { env: { LEAF_TOKEN: "wrong" } });
      expect({ args, code, stdout }).toEqual({ args, code: 5, stdout: "" });
      expect(stderr).toContain("token");
    }
  });

  test("with a limit of time ends with 6, and the leaf goes on", async () => {
    const { code, stderr } = await stack.leaf.run(["turn", "--timeout", "1", "Run: sleep 2; echo late"]);
    expect(code).toBe(6);
    const id = /leaf watch (leaf_\w+)/.exec(stderr)?.[1] ?? "";
    const watched = await stack.leaf.run(["watch", id]);
    expect(watched).toMatchObject({ code: 0, stdout: expect.stringContaining("late") });
  });

  test("interrupted, says how to follow the leaf, which goes on", async () => {
    const { code, stderr } = await stack.leaf.run(["turn", "--json", "Run: sleep 1; echo survived"], {
      during: (kill) => void untilCommandRuns("sleep 1").then(() => kill("SIGINT")),
    });
    expect(code).toBe(130);
    const id = /leaf watch (leaf_\w+)/.exec(stderr)?.[1] ?? "";
    expect(await stack.leaf.run(["watch", id])).toMatchObject({ code: 0, stdout: expect.stringContaining("survived") });
  });

  test("elsewhere than on a terminal prints an answer that was cut and asked for again once, in full", async () => {
    const { code, stdout, stderr } = await stack.leaf.run(["turn", "-"], { stdin: cutAnswer("piped") });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "the whole of the answer, in the end: piped\n" });
    expect(stderr).toContain("asked for again");
  });

  test("on a terminal shows the answer as it grows, in colours unless NO_COLOR is set", async () => {
    const [, line = ""] = shellLine('leaf turn "$PROMPT"');
    const onTerminal = async (more: Record<string, string>): Promise<string> => {
      const env = { LEAF_DIR: stack.leaf.dir, SHELL: "/bin/bash", TERM: "xterm", PROMPT: cutAnswer("live"), ...more };
      return (await runProgram("script", ["-qec", line, "/dev/null"], { env })).stdout;
    };
    const shown = await onTerminal({});
    expect(shown).toContain("\u001b[2m");
    expect(shown.indexOf("the whole")).toBeLessThan(shown.indexOf("asked for again"));
    expect(shown.lastIndexOf("in the end: live")).toBeGreaterThan(shown.indexOf("asked for again"));
    expect(await onTerminal({ NO_COLOR: "1" })).not.toContain("\u001b[");
  });

  test("shows an answer's control characters and lets none of them through; with --json they are in it", async () => {
    const prompt = script({ text: "a\u001b]52;c;aGk=\u0007 \u009b2J b" });
    const shown = await stack.leaf.run(["turn", "-"], { stdin: prompt });
    expect(shown.stdout).toBe("a␛]52;c;aGk=␇ \\u009b2J b\n");
    const json = await stack.leaf.run(["turn", "--json", "-"], { stdin: prompt });
    expect(json.stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    expect(jsonLines(json.stdout).some((line) => JSON.stringify(line).includes("\\u001b]52;c;aGk=\\u0007 \u009b2J"))).toBe(true);
    for (const args of [
      ["list", "--limit", "2"],
      ["get", (jsonLines(json.stdout)[0] as unknown as LeafJson).leaf.leafId],
    ]) {
      const { stdout, stderr } = await stack.leaf.run(args);
      expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    }
  });
});

/** A prompt that the stand-in answers in pieces, the first time with a connection that breaks behind the second. */
function cutAnswer(word: string): string {
  const step = { text: `the whole of the answer, in the end: ${word}`, chunk_chars: 10, cut: { after_chunks: 2, times: 1 } };
  return script(step);
}

function script(step: object): string {
  return `\`\`\`script\n${JSON.stringify({ steps: [step] })}\n\`\`\``;
}

/** Resolves when a command of the sandbox has this command line. */
async function untilCommandRuns(line: string): Promise<void> {
  while (!stack.leaf.processes("hands").some(({ args }) => args.join(" ") === line))
    await new Promise((resolve) => setTimeout(resolve, 20));
}
