import { appendFileSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXAMPLES, type Example } from "../examples.ts";
import { type Leaf, newLeaf, runProgram, shellLine } from "./leaf.ts";

interface LeafJson {
  readonly leaf: {
    readonly leafId: string;
    readonly state: string;
    readonly spec: { readonly sessionId: string; readonly labels?: object };
  };
}

let leaf: Leaf;
let remove: () => Promise<void>;

beforeAll(async () => {
  ({ leaf, remove } = await newLeaf());
  const { code, stderr } = await leaf.run(["up"]);
  if (code !== 0) throw new Error(`leaf up ended with ${code}: ${stderr}`);
}, 60_000);

afterAll(async () => {
  await remove();
}, 60_000);

/** The documents of a stream of JSON lines. */
function lines(text: string): Array<Record<string, unknown>> {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("leaf turn", () => {
  test("prints the answer on stdout, and the session to go on with on stderr; the next turn knows what was said", async () => {
    const first = await leaf.run(["turn", "Remember the secret word: pineapple"]);
    expect(first).toMatchObject({ code: 0, stdout: "OK\n" });
    const session = /go on with: leaf turn --session (\S+) /.exec(first.stderr)?.[1] ?? "";
    const second = await leaf.run(["turn", "--session", session, "What was the secret word?"]);
    expect(second).toMatchObject({ code: 0, stdout: "The secret word is pineapple.\n" });
  });

  test("shows tool calls on stderr, without colours where it is no terminal", async () => {
    const { code, stdout, stderr } = await leaf.run(["turn", "Run: echo out of the sandbox"]);
    expect(code).toBe(0);
    expect(stdout).toContain("out of the sandbox");
    expect(stderr).toContain("● bash  echo out of the sandbox");
    expect(stdout + stderr).not.toContain("\u001b");
  });

  test("colours what is about the answer where it is told to, and the JSON never", async () => {
    const forced = await leaf.run(["turn", "hello"], { env: { FORCE_COLOR: "1" } });
    expect(forced.stderr).toContain("\u001b[2m");
    const json = await leaf.run(["turn", "hello", "--json"], { env: { FORCE_COLOR: "1" } });
    expect(json.stdout).not.toContain("\u001b");
    const refused = await leaf.run(["list"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } });
    expect(refused.stdout).not.toContain("\u001b");
  });

  test("takes the prompt from standard input for -", async () => {
    expect(await leaf.run(["turn", "-"], { stdin: "Run: echo piped" })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("piped"),
    });
  });

  test("with --json writes the leaf, then each event, the terminal one last", async () => {
    const { code, stdout, stderr } = await leaf.run(["turn", "--json", "Run: echo hi"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [first, ...events] = lines(stdout) as [LeafJson, ...Array<{ event: { seq: string; stateChanged?: { state: string } } }>];
    expect(first.leaf.leafId).toMatch(/^leaf_/);
    expect(events.map(({ event }) => Number(event.seq))).toEqual(events.map((_event, index) => index + 1));
    expect(events.at(-1)?.event.stateChanged).toMatchObject({ state: "LEAF_STATE_DONE" });
  });

  test("on an unknown session ends with 4", async () => {
    const { code, stdout, stderr } = await leaf.run(["turn", "--session", "nobody-was-here", "hello"]);
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toMatch(/^leaf: there is no session nobody-was-here: .*\n$/);
  });

  test("with an unknown model ends with 1 and the reason, in one line", async () => {
    const { code, stderr } = await leaf.run(["turn", "--model", "anthropic/claude-nonexistent", "hello"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^leaf: leaf_\S+ failed: \w+: .*claude-nonexistent.*$/m);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("with a model whose provider has no key ends with 1 and names what is missing", async () => {
    const { code, stderr } = await leaf.run(["turn", "--model", "openai/gpt-5", "hello"]);
    expect(code).toBe(1);
    expect(stderr).toContain("OPENAI_API_KEY");
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("with a wrong token ends with 5, and so does every other command that asks the dispatcher", async () => {
    for (const args of [["turn", "hello"], ["list"], ["get", "leaf_1"], ["status"]]) {
      const { code, stdout, stderr } = await leaf.run(args, { env: { LEAF_TOKEN: "wrong" } });
      expect({ args, code, stdout }).toEqual({ args, code: 5, stdout: "" });
      expect(stderr).toContain("token");
    }
  });

  test("with a limit of time ends with 6, and the leaf goes on", async () => {
    const { code, stderr } = await leaf.run(["turn", "--timeout", "1", "Run: sleep 2; echo late"]);
    expect(code).toBe(6);
    const id = /leaf watch (leaf_\w+)/.exec(stderr)?.[1] ?? "";
    const watched = await leaf.run(["watch", id]);
    expect(watched).toMatchObject({ code: 0, stdout: expect.stringContaining("late") });
  });

  test("interrupted, says how to follow the leaf, which goes on", async () => {
    const { code, stderr } = await leaf.run(["turn", "--json", "Run: sleep 1; echo survived"], {
      during: (kill) => void untilCommandRuns("sleep 1").then(() => kill("SIGINT")),
    });
    expect(code).toBe(130);
    const id = /leaf watch (leaf_\w+)/.exec(stderr)?.[1] ?? "";
    expect(await leaf.run(["watch", id])).toMatchObject({ code: 0, stdout: expect.stringContaining("survived") });
  });

  test("elsewhere than on a terminal prints an answer that was cut and asked for again once, in full", async () => {
    const { code, stdout, stderr } = await leaf.run(["turn", "-"], { stdin: cutAnswer("piped") });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "the whole of the answer, in the end: piped\n" });
    expect(stderr).toContain("asked for again");
  });

  test("on a terminal shows the answer as it grows, in colours unless NO_COLOR is set", async () => {
    const [, line = ""] = shellLine('leaf turn "$PROMPT"');
    const onTerminal = async (more: Record<string, string>): Promise<string> => {
      const env = { LEAF_DIR: leaf.dir, SHELL: "/bin/bash", TERM: "xterm", PROMPT: cutAnswer("live"), ...more };
      return (await runProgram("script", ["-qec", line, "/dev/null"], { env })).stdout;
    };
    const shown = await onTerminal({});
    expect(shown).toContain("\u001b[2m");
    expect(shown.indexOf("the whole")).toBeLessThan(shown.indexOf("asked for again"));
    expect(shown.lastIndexOf("in the end: live")).toBeGreaterThan(shown.indexOf("asked for again"));
    expect(await onTerminal({ NO_COLOR: "1" })).not.toContain("\u001b[");
  });

  test("passes on an answer's control characters to a file, but not to a human's list", async () => {
    const { stdout } = await leaf.run(["turn", "Run: printf '\\033[31mred'"]);
    expect(stdout).toContain("red");
    const listed = await leaf.run(["list", "--limit", "1"]);
    expect(listed.stdout).not.toContain("\u001b");
  });
});

/** A prompt that the stand-in answers in pieces, the first time with a connection that breaks behind the second. */
function cutAnswer(word: string): string {
  const step = { text: `the whole of the answer, in the end: ${word}`, chunk_chars: 10, cut: { after_chunks: 2, times: 1 } };
  return `\`\`\`script\n${JSON.stringify({ steps: [step] })}\n\`\`\``;
}

/** Resolves when a command of the sandbox has this command line. */
async function untilCommandRuns(line: string): Promise<void> {
  while (!leaf.processes("hands").some(({ args }) => args.join(" ") === line)) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe("leaf submit, watch, get and list", () => {
  test("agree about a leaf", async () => {
    const { code, stdout } = await leaf.run(["submit", "--label", "batch=a", "Run: echo queued"]);
    expect(code).toBe(0);
    const id = stdout.trim();
    expect(await leaf.run(["watch", id])).toMatchObject({ code: 0, stdout: expect.stringMatching(/done$/m) });
    const got = await leaf.json<LeafJson>("get", id);
    expect(got.leaf).toMatchObject({ leafId: id, state: "LEAF_STATE_DONE", spec: { labels: { batch: "a" } } });
    const text = await leaf.run(["get", id]);
    expect(text.stdout).toMatch(/^state +done$/m);
    const listed = await leaf.json<{ leaves: Array<{ leafId: string }> }>("list", "--label", "batch=a", "--state", "done");
    expect(listed.leaves.map(({ leafId }) => leafId)).toEqual([id]);
    expect((await leaf.run(["list", "--session", got.leaf.spec.sessionId])).stdout).toMatch(new RegExp(`^${id} +done `, "m"));
  });

  test("the same key makes no second leaf, and another prompt under it is refused with 7", async () => {
    const first = await leaf.json<LeafJson & { created: boolean }>("submit", "--key", "once", "Run: echo 1");
    const again = await leaf.json<LeafJson & { created: boolean }>("submit", "--key", "once", "Run: echo 1");
    expect([first.created, again.created, again.leaf.leafId]).toEqual([true, false, first.leaf.leafId]);
    const other = await leaf.run(["submit", "--key", "once", "Run: echo 2"]);
    expect(other).toMatchObject({ code: 7, stdout: "" });
  });

  test("watch goes on behind a sequence number, and behind the last one it only tells the end", async () => {
    const { leaf: submitted } = await leaf.json<LeafJson>("submit", "hello");
    const all = lines((await leaf.run(["watch", submitted.leafId, "--json"])).stdout).slice(1);
    const rest = lines((await leaf.run(["watch", submitted.leafId, "--json", "--after", "2"])).stdout).slice(1);
    expect(rest).toEqual(all.slice(2));
    const none = await leaf.run(["watch", submitted.leafId, "--json", "--after", String(all.length)]);
    expect({ code: none.code, documents: lines(none.stdout).length }).toEqual({ code: 0, documents: 1 });
  });

  test("list pages through all of them without missing one", async () => {
    for (const word of ["one", "two", "three"]) await leaf.json("submit", "--label", "page=yes", word);
    const seen: string[] = [];
    for (let page: string[] = []; ; ) {
      type Page = { leaves: Array<{ leafId: string }>; nextPageToken?: string };
      const { leaves, nextPageToken } = await leaf.json<Page>("list", "--label", "page=yes", "--limit", "2", ...page);
      seen.push(...leaves.map(({ leafId }) => leafId));
      if (nextPageToken === undefined) break;
      page = ["--page", nextPageToken];
    }
    expect(new Set(seen).size).toBe(3);
  });

  test("an unknown leaf is 4 for get and watch", async () => {
    for (const command of ["get", "watch"]) {
      const { code, stdout, stderr } = await leaf.run([command, "leaf_nobody"]);
      expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});

describe("leaf status, ps and logs", () => {
  test("status tells what runs, and that a stand-in answers", async () => {
    const { code, stdout } = await leaf.run(["status"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^dispatcher +ok +http:\/\/127\.0\.0\.1:\d+ /m);
    expect(stdout).toMatch(/^hands +ok /m);
    expect(stdout).toContain("scripted stand-in (no language model)");
    const json = await leaf.json<Record<string, unknown>>("status");
    expect(json).toMatchObject({
      healthy: true,
      standIn: true,
      missing: [],
      health: { status: "ok", backlog: { ready: expect.any(Number) } },
    });
  });

  test("ps lists the processes that live, with pid and memory", async () => {
    const { processes } = await leaf.json<{ processes: Array<{ part: string; pid: number; memoryBytes: number }> }>("ps");
    for (const part of ["hands", "model", "dispatcher"]) expect(processes.map((process) => process.part)).toContain(part);
    for (const { pid, memoryBytes } of processes) {
      expect(statSync(`/proc/${pid}`).isDirectory()).toBe(true);
      expect(memoryBytes).toBeGreaterThan(0);
    }
    expect((await leaf.run(["ps"])).stdout).toMatch(/^NAME +PID +MEMORY +UP +COMMAND$/m);
  });

  test("logs shows each service's lines", async () => {
    expect(await leaf.run(["logs", "dispatcher"])).toMatchObject({ code: 0, stdout: expect.stringContaining("dispatcher listens") });
    const { stdout } = await leaf.run(["logs", "--json", "--lines", "5"]);
    for (const line of lines(stdout)) expect(line).toHaveProperty("service");
  });

  test("logs -f shows what is appended, and ends well with Ctrl-C", async () => {
    let said = false;
    const followed = await leaf.run(["logs", "dispatcher", "-f"], {
      onStdout: (sofar, kill) => {
        if (sofar.includes("the last word")) kill("SIGINT");
        else if (!said) appendFileSync(join(leaf.dir, "log", "dispatcher.log"), `${JSON.stringify({ level: 30, msg: "the last word" })}\n`);
        said = true;
      },
    });
    expect(followed).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a dispatcher elsewhere", () => {
  const elsewhere = (url: string): Record<string, string> => {
    return { LEAF_DIR: "/nonexistent", LEAF_URL: url, LEAF_TOKEN: readFileSync(join(leaf.dir, "token"), "utf8").trim() };
  };

  test("is used with LEAF_URL and LEAF_TOKEN, without a state directory", async () => {
    const { url } = await leaf.json<{ url: string }>("status");
    expect(await leaf.run(["turn", "Run: echo remote"], { env: elsewhere(url) })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("remote"),
    });
    expect(await leaf.run(["status"], { env: elsewhere(url) })).toMatchObject({ code: 0 });
  });

  test.each([
    ["http://127.0.0.1:9", 3],
    ["nonsense", 2],
  ])("at %s is told in one line with %i", async (url, exitCode) => {
    for (const args of [["turn", "hello"], ["status"]]) {
      const { code, stdout, stderr } = await leaf.run(args, { env: elsewhere(url) });
      expect({ args, code, stdout }).toEqual({ args, code: exitCode, stdout: "" });
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});

describe("secrets", () => {
  test("the state directory, the token and the private key are for their owner only", () => {
    const mode = (path: string): string => (statSync(join(leaf.dir, path)).mode & 0o777).toString(8);
    expect([mode("."), mode("token"), mode("keys/hands.key"), mode("log/dispatcher.log")]).toEqual(["700", "600", "600", "600"]);
  });

  test("the token is in no process's arguments, and in no log", async () => {
    const token = readFileSync(join(leaf.dir, "token"), "utf8").trim();
    for (const { args } of leaf.processes()) expect(args.join(" ")).not.toContain(token);
    expect((await leaf.run(["logs", "--json", "--lines", "100000"])).stdout).not.toContain(token);
  });

  test("the daemon in the sandbox gets none of the user's variables", () => {
    for (const { pid } of leaf.processes("hands")) {
      const names = readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .map((entry) => entry.split("=", 1)[0]);
      expect(names).not.toContain("HANDS_PRIVATE_KEY_FILE");
      expect(names.filter((name) => name?.startsWith("ANTHROPIC") || name?.startsWith("DISPATCHER"))).toEqual([]);
    }
  });
});

describe("the examples of the help", () => {
  // Those of `up` and `down` run where a stack begins and ends, `logs -f` above.
  const examples = Object.entries(EXAMPLES)
    .filter(([name]) => name !== "up" && name !== "down")
    .flatMap(([, list]): readonly Example[] => list)
    .filter(({ line }) => !line.endsWith(" -f"));

  let example: LeafJson;
  beforeAll(async () => {
    example = await leaf.json<LeafJson>("submit", "Run: true");
    await leaf.run(["watch", example.leaf.leafId]);
  });

  test.each(examples)("$line", async ({ line }) => {
    const typed = line.replace("LEAF_ID", example.leaf.leafId).replace("SESSION_ID", example.leaf.spec.sessionId);
    const { code, stderr } = await runProgram("bash", shellLine(typed), { env: { LEAF_DIR: leaf.dir } });
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  });
});
