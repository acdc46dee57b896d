import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXAMPLES, type Example } from "../examples.ts";
import { interruptAt, jsonLines, type LeafJson, runProgram, sharedStack, shellLine } from "./leaf.ts";

const stack = sharedStack();

describe("leaf submit, watch, get and list", () => {
  test("agree about a leaf", async () => {
    const { code, stdout } = await stack.leaf.run(["submit", "--label", "batch=a", "Run: echo queued"]);
    expect(code).toBe(0);
    const id = stdout.trim();
    expect(await stack.leaf.run(["watch", id])).toMatchObject({ code: 0, stdout: expect.stringMatching(/done$/m) });
    const got = await stack.leaf.json<LeafJson>("get", id);
    expect(got.leaf).toMatchObject({ leafId: id, state: "LEAF_STATE_DONE", spec: { labels: { batch: "a" } } });
    const text = await stack.leaf.run(["get", id]);
    expect(text.stdout).toMatch(/^state +done$/m);
    const listed = await stack.leaf.json<{ leaves: Array<{ leafId: string }> }>("list", "--label", "batch=a", "--state", "done");
    expect(listed.leaves.map(({ leafId }) => leafId)).toEqual([id]);
    expect((await stack.leaf.run(["list", "--session", got.leaf.spec.sessionId])).stdout).toMatch(new RegExp(`^${id} +done `, "m"));
  });

  test("a task brings the value that its schema asks for", async () => {
    const schema = join(stack.leaf.dir, "schema.json");
    const input = join(stack.leaf.dir, "input.json");
    writeFileSync(schema, JSON.stringify({ type: "object", properties: { count: { type: "integer" } }, required: ["count"] }));
    writeFileSync(input, JSON.stringify({ words: ["a", "b"] }));
    const steps = [{ tools: [{ name: "submit_result", input: { count: 2 } }] }];
    const prompt = `Do as the script says.\n\`\`\`script\n${JSON.stringify({ steps })}\n\`\`\``;
    const { stdout } = await stack.leaf.run([
      "submit",
      "--schema",
      schema,
      "--input",
      input,
      "--deadline",
      "60",
      "--max-tokens",
      "100000",
      prompt,
    ]);
    expect(await stack.leaf.run(["watch", stdout.trim()])).toMatchObject({ code: 0 });
    expect((await stack.leaf.json<LeafJson>("get", stdout.trim())).leaf).toMatchObject({
      spec: { kind: "LEAF_KIND_TASK", input: { words: ["a", "b"] }, limits: { deadlineMs: "60000", maxTokens: "100000" } },
      result: { value: { count: 2 } },
    });
  });

  test("a solve names its repository; one that can't be fetched is said", async () => {
    const submitted = await stack.leaf.json<LeafJson>(
      "submit",
      "--solve",
      "--repo",
      "https://example.invalid/none.git#main",
      "--thinking",
      "low",
      "x",
    );
    expect(submitted.leaf.spec).toMatchObject({
      kind: "LEAF_KIND_SOLVE",
      repository: { url: "https://example.invalid/none.git", ref: "main" },
      thinking: "THINKING_LEVEL_LOW",
    });
    expect(await stack.leaf.run(["cancel", submitted.leaf.leafId])).toMatchObject({ code: 0 });
  });

  test("what a leaf wants of its sandbox is in its spec, and in a schedule's, where the rest stays as it was", async () => {
    const { leaf: first } = await stack.leaf.json<LeafJson>("submit", "hello");
    const { sessionId } = first.spec;
    const wish = ["--sandbox-label", "gpu=a100", "--sandbox-label", "zone=b", "--near", sessionId];
    const sandbox = { labels: { gpu: "a100", zone: "b" }, nearSessionId: sessionId };
    const { leaf } = await stack.leaf.json<LeafJson>("submit", ...wish, "hello");
    expect(leaf.spec).toMatchObject({ sandbox });
    expect((await stack.leaf.run(["get", leaf.leafId])).stdout).toMatch(new RegExp(`^sandbox +gpu=a100 zone=b near ${sessionId}$`, "m"));
    await stack.leaf.json("cancel", leaf.leafId);
    const turn = await stack.leaf.run(["turn", "--json", "--near", sessionId, "hello"]);
    expect(jsonLines(turn.stdout)[0]).toMatchObject({ leaf: { spec: { sandbox: { nearSessionId: sessionId } } } });
    await stack.leaf.json("schedule", "create", "placed", "0 0 29 2 *", ...wish, "x");
    const { schedule } = await stack.leaf.json<{ schedule: object }>("schedule", "update", "placed", "--sandbox-label", "gpu=h100");
    expect(schedule).toMatchObject({ spec: { sandbox: { labels: { gpu: "h100" }, nearSessionId: sessionId } } });
    await stack.leaf.json("schedule", "delete", "placed");
  });

  test("the same key makes no second leaf, and another prompt under it is refused with 7", async () => {
    const first = await stack.leaf.json<LeafJson & { created: boolean }>("submit", "--key", "once", "Run: echo 1");
    const again = await stack.leaf.json<LeafJson & { created: boolean }>("submit", "--key", "once", "Run: echo 1");
    expect([first.created, again.created, again.leaf.leafId]).toEqual([true, false, first.leaf.leafId]);
    const other = await stack.leaf.run(["submit", "--key", "once", "Run: echo 2"]);
    expect(other).toMatchObject({ code: 7, stdout: "" });
  });

  test("watch goes on behind a sequence number, and behind the last one it only tells the end", async () => {
    const { leaf: submitted } = await stack.leaf.json<LeafJson>("submit", "hello");
    const all = jsonLines((await stack.leaf.run(["watch", submitted.leafId, "--json"])).stdout).slice(1);
    const rest = jsonLines((await stack.leaf.run(["watch", submitted.leafId, "--json", "--after", "2"])).stdout).slice(1);
    expect(rest).toEqual(all.slice(2));
    const none = await stack.leaf.run(["watch", submitted.leafId, "--json", "--after", String(all.length)]);
    expect({ code: none.code, documents: jsonLines(none.stdout).length }).toEqual({ code: 0, documents: 1 });
  });

  test("list pages through all of them without missing one", async () => {
    for (const word of ["one", "two", "three"]) await stack.leaf.json("submit", "--label", "page=yes", word);
    const seen: string[] = [];
    for (let page: string[] = []; ; ) {
      type Page = { leaves: Array<{ leafId: string }>; nextPageToken?: string };
      const { leaves, nextPageToken } = await stack.leaf.json<Page>("list", "--label", "page=yes", "--limit", "2", ...page);
      seen.push(...leaves.map(({ leafId }) => leafId));
      if (nextPageToken === undefined) break;
      page = ["--page", nextPageToken];
    }
    expect(new Set(seen).size).toBe(3);
  });

  test("a message is told by send, get and watch, and read by the agent; the same name says it once", async () => {
    const { leaf } = await stack.leaf.json<LeafJson>("submit", "--ask", "bash", "Run: echo approved");
    while ((await stack.leaf.json<LeafJson>("get", leaf.leafId)).leaf.state !== "LEAF_STATE_AWAITING_APPROVAL");
    const send = ["send", leaf.leafId, "--follow-up", "--id", "m-1", "--by", "ann", "Remember the secret word: fig"];
    for (let i = 0; i < 2; i++) expect(await stack.leaf.run(send)).toMatchObject({ code: 0, stdout: "sent: m-1\n" });
    expect(await stack.leaf.run([...send.slice(0, -1), "other words"])).toMatchObject({ code: 7, stdout: "" });
    const waiting = await stack.leaf.run(["get", leaf.leafId]);
    expect(waiting.stdout).toMatch(/^unread +m-1 by ann, to follow up: Remember the secret word: fig$/m);
    expect(waiting.stdout).toMatch(new RegExp(`^waits +for an answer: leaf approve\\|reject\\|abort ${leaf.leafId}$`, "m"));
    const approved = await stack.leaf.run(["approve", leaf.leafId]);
    expect(approved.stdout).toMatch(/^approved: The agent wants to use the tool bash\.\n/);
    expect(approved.stdout).toContain('"command": "echo approved"');
    const { code, stdout } = await stack.leaf.run(["watch", leaf.leafId]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/message m-1 by ann, to follow up: Remember the secret word: fig$/m);
    expect(stdout).toMatch(/message m-1 delivered$/m);
    expect((await stack.leaf.run(["get", leaf.leafId])).stdout).toMatch(/^result +OK$/m);
    expect(await stack.leaf.run(["send", leaf.leafId, "too late"])).toMatchObject({ code: 7, stdout: "" });
  });

  test.each([
    ["abort", "was aborted"],
    ["reject", "was not approved"],
  ])("a call that a human does not let through (%s) is not told as a failure of its tool", async (answer, text) => {
    const { leaf } = await stack.leaf.json<LeafJson>("submit", "--ask", "bash", "Run: echo never");
    while ((await stack.leaf.json<LeafJson>("get", leaf.leafId)).leaf.state !== "LEAF_STATE_AWAITING_APPROVAL");
    await stack.leaf.run([answer, leaf.leafId]);
    const { stdout } = await stack.leaf.run(["watch", leaf.leafId]);
    expect(stdout).not.toContain("bash failed");
    if (stdout.includes("bash was")) expect(stdout).toContain(`bash ${text}`);
  });

  test("a command that is cancelled is not told as a failure", async () => {
    const { leaf } = await stack.leaf.json<LeafJson>("submit", "Run: sleep 664");
    while (!stack.leaf.processes("hands").some(({ args }) => args.join(" ") === "sleep 664"))
      await new Promise((resolve) => setTimeout(resolve, 20));
    await stack.leaf.run(["cancel", leaf.leafId]);
    const { stdout } = await stack.leaf.run(["watch", leaf.leafId]);
    expect(stdout).toContain("bash was cancelled");
    expect(stdout).not.toContain("bash failed");
  });

  test("a leaf that is queued behind another one of its session says so, and so does a turn that waits", async () => {
    const first = await stack.leaf.json<LeafJson>("submit", "Run: sleep 665");
    while (!stack.leaf.processes("hands").some(({ args }) => args.join(" ") === "sleep 665"))
      await new Promise((resolve) => setTimeout(resolve, 20));
    const { leaf } = await stack.leaf.json<LeafJson>("submit", "--session", first.leaf.spec.sessionId, "Run: true");
    const text = `for ${first.leaf.leafId} of its session, which is `;
    expect((await stack.leaf.run(["get", leaf.leafId])).stdout).toMatch(new RegExp(`^waits +${text}(running|suspended)$`, "m"));
    expect(await stack.leaf.json("get", leaf.leafId)).toMatchObject({ waits: expect.stringContaining(text) });
    const turn = await stack.leaf.run(["turn", "--session", first.leaf.spec.sessionId, "Run: true"], { onStderr: interruptAt("(waits ") });
    expect(turn).toMatchObject({ code: 130, stderr: expect.stringContaining(`(waits ${text}`) });
    const watched = await stack.leaf.run(["watch", first.leaf.leafId], { onStderr: interruptAt("(waits ") });
    expect(watched).toMatchObject({ code: 130, stderr: expect.stringContaining("(waits for bash  sleep 665)") });
    await stack.leaf.run(["cancel", first.leaf.leafId]);
  });

  test("a gate on changes of files says that commands make some too, unless it holds them", async () => {
    const submit = (...ask: string[]) => stack.leaf.run(["submit", ...ask.flatMap((tool) => ["--ask", tool]), "hello"]);
    expect((await submit("write")).stderr).toContain("add --ask bash");
    for (const ask of [["write", "bash"], ["*"], ["edit", "terminal"]]) expect((await submit(...ask)).stderr).not.toContain("--ask bash");
  });

  test("an unknown leaf is 4 for get and watch", async () => {
    for (const command of ["get", "watch"]) {
      const { code, stdout, stderr } = await stack.leaf.run([command, "leaf_nobody"]);
      expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});

describe("leaf status, ps and logs", () => {
  test("status tells what runs, and that a stand-in answers", async () => {
    const { code, stdout } = await stack.leaf.run(["status"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^dispatcher +ok +http:\/\/127\.0\.0\.1:\d+ /m);
    expect(stdout).toMatch(/^hands +ok /m);
    expect(stdout).toContain("scripted stand-in (no language model)");
    const json = await stack.leaf.json<Record<string, unknown>>("status");
    expect(json).toMatchObject({
      healthy: true,
      standIn: true,
      missing: [],
      health: { status: "ok", backlog: { ready: expect.any(Number) } },
    });
  });

  test("ps lists the processes that live, with pid and memory", async () => {
    const { processes } = await stack.leaf.json<{ processes: Array<{ part: string; pid: number; memoryBytes: number }> }>("ps");
    for (const part of ["hands", "model", "dispatcher"]) expect(processes.map((process) => process.part)).toContain(part);
    for (const { pid, memoryBytes } of processes) {
      expect(statSync(`/proc/${pid}`).isDirectory()).toBe(true);
      expect(memoryBytes).toBeGreaterThan(0);
    }
    const all = await stack.leaf.run(["ps", "--all"]);
    expect(all.stdout).toMatch(/^NAME +PID +MEMORY +UP +COMMAND$/m);
    expect(all.stdout.trim().split("\n").length).toBeGreaterThan(processes.length / 2);
  });

  test("ps shows a line for each service, and what is below it as a number", async () => {
    await stack.leaf.run(["turn", "Run: true"]);
    const [head, ...lines] = (await stack.leaf.run(["ps"])).stdout.trim().split("\n");
    expect(head).toMatch(/^NAME +PID +MEMORY +UP +BELOW IT$/);
    for (const line of lines) expect(line).toMatch(/^(dispatcher|hands|model|brain) /);
    expect(lines.some((line) => /^hands .* \d+ processes, [\d.]+ MB$/.test(line))).toBe(true);
  });

  test("logs shows each service's lines", async () => {
    expect(await stack.leaf.run(["logs", "dispatcher"])).toMatchObject({ code: 0, stdout: expect.stringContaining("dispatcher listens") });
    const { stdout } = await stack.leaf.run(["logs", "--json", "--lines", "5"]);
    for (const line of jsonLines(stdout)) expect(line).toHaveProperty("service");
  });

  test("logs -f shows what is appended, and ends well with Ctrl-C", async () => {
    let said = false;
    const followed = await stack.leaf.run(["logs", "dispatcher", "-f"], {
      onStdout: (sofar, kill) => {
        if (sofar.includes("the last word")) kill("SIGINT");
        else if (!said)
          appendFileSync(join(stack.leaf.dir, "log", "dispatcher.log"), `${JSON.stringify({ level: 30, msg: "the last word" })}\n`);
        said = true;
      },
    });
    expect(followed).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a dispatcher elsewhere", () => {
  const elsewhere = (url: string): Record<string, string> => {
    return { LEAF_DIR: "/nonexistent", LEAF_URL: url, LEAF_TOKEN: readFileSync(join(stack.leaf.dir, "token"), "utf8").trim() };
  };

  test("is used with LEAF_URL and LEAF_TOKEN, without a state directory", async () => {
    const { url } = await stack.leaf.json<{ url: string }>("status");
    expect(await stack.leaf.run(["turn", "Run: echo remote"], { env: elsewhere(url) })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("remote"),
    });
    expect(await stack.leaf.run(["status"], { env: elsewhere(url) })).toMatchObject({ code: 0 });
  });

  test.each([
    ["http://127.0.0.1:9", 3],
    ["nonsense", 2],
  ])("at %s is told in one line with %i", async (url, exitCode) => {
    for (const args of [["turn", "hello"], ["status"]]) {
      const { code, stdout, stderr } = await stack.leaf.run(args, { env: elsewhere(url) });
      expect({ args, code, stdout }).toEqual({ args, code: exitCode, stdout: "" });
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
  });
});

describe("secrets", () => {
  test("the state directory, the token and the private key are for their owner only", () => {
    const mode = (path: string): string => (statSync(join(stack.leaf.dir, path)).mode & 0o777).toString(8);
    expect([mode("."), mode("token"), mode("keys/hands.key"), mode("log/dispatcher.log")]).toEqual(["700", "600", "600", "600"]);
  });

  test("the token is in no process's arguments, and in no log", async () => {
    const token = readFileSync(join(stack.leaf.dir, "token"), "utf8").trim();
    for (const { args } of stack.leaf.processes()) expect(args.join(" ")).not.toContain(token);
    expect((await stack.leaf.run(["logs", "--json", "--lines", "100000"])).stdout).not.toContain(token);
  });

  test("the daemon in the sandbox gets none of the user's variables", () => {
    for (const { pid } of stack.leaf.processes("hands")) {
      const names = readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .map((entry) => entry.split("=", 1)[0]);
      expect(names).not.toContain("HANDS_PRIVATE_KEY_FILE");
      expect(names.filter((name) => name?.startsWith("ANTHROPIC") || name?.startsWith("DISPATCHER"))).toEqual([]);
    }
  });
});

describe("the examples of the help", () => {
  // Those of `up` and `down` run where a stack begins and ends, `logs -f` above, and those of `sandbox` where there is a pool.
  const examples = Object.entries(EXAMPLES)
    .filter(([name]) => name !== "up" && name !== "down" && !name.startsWith("sandbox "))
    .flatMap(([name, list]) => list.map((example: Example) => ({ name, ...example })))
    .filter(({ line }) => !line.endsWith(" -f"));

  let example: LeafJson;
  let directory = "";
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "leaf-examples-"));
    writeFileSync(join(directory, "schedule.json"), '{"items": [{"spec": {"prompt": "Run: true"}}]}');
    example = await stack.leaf.json<LeafJson>("submit", "Run: true");
    await stack.leaf.run(["watch", example.leaf.leafId]);
  });

  afterAll(() => rmSync(directory, { recursive: true }));

  /** A leaf that the command has something to do with. */
  async function leafFor(name: string): Promise<string> {
    if (name === "redrive") {
      const { leaf } = await stack.leaf.json<LeafJson>("submit", "--model", "nobody/nothing", "Run: true");
      expect(await stack.leaf.run(["watch", leaf.leafId])).toMatchObject({ code: 1 });
      return leaf.leafId;
    }
    if (!["send", "approve", "reject", "abort"].includes(name)) return example.leaf.leafId;
    const { leaf } = await stack.leaf.json<LeafJson>("submit", "--ask", "bash", "Run: true");
    for (;;) {
      const { leaf: now } = await stack.leaf.json<{ leaf: { state: string; openGates?: unknown[] } }>("get", leaf.leafId);
      if (now.state === "LEAF_STATE_AWAITING_APPROVAL" && now.openGates?.length === 1) return leaf.leafId;
    }
  }

  async function someToken(): Promise<string> {
    const made = await stack.leaf.json<{ token: { tokenId: string } }>("token", "create", "somebody", "--scope", "leaves:read");
    return made.token.tokenId;
  }

  test.each(examples)("$line", async ({ name, line }) => {
    const typed = line
      .replace("LEAF_ID", await leafFor(name))
      .replace("SESSION_ID", example.leaf.spec.sessionId)
      .replace("TOKEN_ID", name === "token revoke" ? await someToken() : "");
    const { code, stderr } = await runProgram("bash", shellLine(typed), { env: { LEAF_DIR: stack.leaf.dir }, cwd: directory });
    // This stack has no webhooks, so it has no dead letter to resend; webhook.test.ts resends one.
    const expected =
      name === "webhook resend" ? { code: 4, stderr: expect.stringContaining("there is no dead letter") } : { code: 0, stderr: "" };
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual(expected);
  });
});
