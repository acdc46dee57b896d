import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { EXAMPLES } from "../examples.ts";
import { stackPaths } from "../stack/paths.ts";
import { interruptAt, type LeafJson, runProgram, shellLine, temporaryLeaf } from "./leaf.ts";

interface Up {
  readonly url: string;
  readonly sandbox: string;
  readonly processes: ReadonlyArray<{ readonly name: string; readonly pid: number; readonly started: boolean }>;
}

const pidOf = (up: Up, name: string): number => up.processes.find((process) => process.name === name)?.pid ?? 0;

describe("leaf up", () => {
  test("twice at once starts one stack, and a third time starts nothing", async () => {
    const leaf = await temporaryLeaf();
    const [one, two] = await Promise.all([leaf.json<Up>("up"), leaf.json<Up>("up")]);
    const started = [one, two].map((up) => up.processes.filter((process) => process.started).length).sort();
    expect(started).toEqual([0, 3]);
    expect(one.processes.map(({ pid }) => pid)).toEqual(two.processes.map(({ pid }) => pid));
    const three = await leaf.json<Up>("up");
    expect(three.processes.every((process) => !process.started)).toBe(true);
    expect(leaf.processes().filter(({ main, part }) => main && part !== "hands")).toHaveLength(2);
  });

  test("on a port in use names it and --port, and leaves nothing running", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const port = (server.address() as { port: number }).port;
    const leaf = await temporaryLeaf();
    const { code, stdout, stderr } = await leaf.run(["up", "--port", String(port)]);
    expect({ code, stdout }).toEqual({ code: 7, stdout: "" });
    expect(stderr).toMatch(new RegExp(`^leaf: port ${port} is in use by another process: .*--port .*\\n$`));
    expect(leaf.processes()).toEqual([]);
    server.close();
  });

  test("with a setting that brains can't use names it and starts nothing", async () => {
    const leaf = await temporaryLeaf();
    const { code, stdout, stderr } = await leaf.run(["up"], { env: { BRAIN_CONCURRENCY: "none", BRAIN_WAKE_URL: "no url" } });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("BRAIN_CONCURRENCY");
    expect(stderr).toContain("BRAIN_WAKE_URL");
    expect(leaf.processes()).toEqual([]);
  });

  test("where a service can't start shows the end of its log, and stops what it had started", async () => {
    const leaf = await temporaryLeaf();
    mkdirSync(leaf.dir);
    writeFileSync(join(leaf.dir, "version"), '{"layout":1}');
    writeFileSync(join(leaf.dir, "leaf.db"), "this is no database");
    const { code, stdout, stderr } = await leaf.run(["up"]);
    expect({ code, stdout }).toEqual({ code: 7, stdout: "" });
    expect(stderr).toContain("leaf.db");
    expect(stderr).toMatch(/^leaf: dispatcher ended while it started/m);
    expect(leaf.processes()).toEqual([]);
    expect(readdirSync(join(leaf.dir, "run")).filter((name) => name.endsWith(".json"))).toEqual([]);
  });

  test("interrupted in the middle stops what it had started", async () => {
    const leaf = await temporaryLeaf();
    const { code, stderr } = await leaf.run(["up"], {
      during: (kill) => {
        const timer = setInterval(() => {
          if (leaf.processes("hands").length === 0) return;
          clearInterval(timer);
          kill("SIGINT");
        }, 10);
      },
    });
    expect({ code, stderr }).toEqual({ code: 130, stderr: "leaf: interrupted: what was started is stopped again\n" });
    expect(leaf.processes()).toEqual([]);
    expect(readdirSync(join(leaf.dir, "run")).filter((name) => name.endsWith(".json"))).toEqual([]);
  });

  test("mends a stack whose dispatcher was killed: same address, same data", async () => {
    const leaf = await temporaryLeaf();
    const before = await leaf.json<Up>("up", "--sandbox", "process");
    const { leaf: submitted } = await leaf.json<{ leaf: { leafId: string } }>("submit", "Run: echo kept");
    process.kill(pidOf(before, "dispatcher"), "SIGKILL");
    const after = await leaf.json<Up>("up");
    expect({ ...after, processes: [] }).toEqual({ ...before, processes: [] });
    expect(pidOf(after, "dispatcher")).not.toBe(pidOf(before, "dispatcher"));
    expect(pidOf(after, "hands")).toBe(pidOf(before, "hands"));
    expect(await leaf.run(["watch", submitted.leafId])).toMatchObject({ code: 0, stdout: expect.stringContaining("kept") });
  });

  test("brings back the dispatcher that a turn was followed through, which goes on and misses nothing", async () => {
    const leaf = await temporaryLeaf();
    const before = await leaf.json<Up>("up");
    const turn = leaf.run(["turn", "--json", "Run: sleep 1.5; echo through"]);
    while (!leaf.processes("hands").some(({ args }) => args.join(" ") === "sleep 1.5")) await sleep(20);
    process.kill(pidOf(before, "dispatcher"), "SIGKILL");
    await leaf.json<Up>("up");
    const { code, stdout } = await turn;
    const seqs = [...stdout.matchAll(/"seq":"(\d+)"/g)].map((match) => Number(match[1]));
    expect({ code, seqs }).toEqual({ code: 0, seqs: seqs.map((_seq, index) => index + 1) });
    expect(stdout).toContain("through");
  });

  test("mends a stack whose hands and model were ended, which the dispatcher finds where they were", async () => {
    const leaf = await temporaryLeaf();
    const before = await leaf.json<Up>("up");
    for (const name of ["hands", "model"]) process.kill(pidOf(before, name), "SIGTERM");
    while (leaf.processes().some(({ part }) => part === "hands" || part === "model")) await sleep(20);
    expect(await leaf.run(["status"])).toMatchObject({ code: 3, stdout: expect.stringContaining("not running") });
    const after = await leaf.json<Up>("up");
    expect(after.processes.filter(({ started }) => started).map(({ name }) => name)).toEqual(["hands", "model"]);
    expect(pidOf(after, "dispatcher")).toBe(pidOf(before, "dispatcher"));
    expect(await leaf.run(["turn", "Run: echo mended"])).toMatchObject({ code: 0, stdout: expect.stringContaining("mended") });
  });

  test("does not change a stack that runs: asked for something else it says to take it down first", async () => {
    const leaf = await temporaryLeaf();
    await leaf.json<Up>("up", "--sandbox", "process");
    const { code, stderr } = await leaf.run(["up", "--sandbox", "bwrap"]);
    expect(code).toBe(7);
    expect(stderr).toMatch(/^leaf: hands runs already, with sandbox process instead of bwrap: `leaf down` first/);
    expect(await leaf.json<Up>("up")).toMatchObject({ sandbox: "process" });
  });

  test("without bubblewrap refuses, and runs without a jail only where it is told to", async () => {
    const leaf = await temporaryLeaf();
    const tools = join(leaf.dir, "..", "tools");
    mkdirSync(tools);
    for (const tool of ["bash", "sh", "env", "ps", "rg"]) symlinkSync(`/usr/bin/${tool}`, join(tools, tool));
    const env = { PATH: tools };
    const refused = await leaf.run(["up"], { env });
    expect(refused).toMatchObject({
      code: 7,
      stdout: "",
      stderr: expect.stringMatching(/^leaf: no sandbox: bubblewrap is not installed: .*--sandbox process\n$/),
    });
    expect(leaf.processes()).toEqual([]);
    const told = await leaf.run(["up", "--sandbox", "process"], { env });
    expect(told).toMatchObject({ code: 0, stdout: expect.stringContaining("none: commands run as you, without a jail") });
  });

  test("works in a state directory whose path is too long for a socket", async () => {
    const leaf = await temporaryLeaf(join("a".repeat(60), "b".repeat(60)));
    expect(await leaf.run(["up"])).toMatchObject({ code: 0 });
    expect(await leaf.run(["turn", "Run: echo far away"])).toMatchObject({ code: 0, stdout: expect.stringContaining("far away") });
    expect(await leaf.run(["down"])).toMatchObject({ code: 0 });
    expect(existsSync(stackPaths(leaf.dir).sandbox("hands").socketDir)).toBe(false);
  });
});

describe("leaf down", () => {
  test("ends every process, a command in the middle and its brain included, and the leaf goes on after the next up", async () => {
    const leaf = await temporaryLeaf();
    await leaf.json<Up>("up");
    const { leaf: submitted } = await leaf.json<{ leaf: { leafId: string } }>("submit", "Run: sleep 1; echo resumed");
    while (leaf.processes("brain").length === 0) await sleep(20);
    const all = leaf.processes();
    const { stopped } = await leaf.json<{ stopped: Array<{ pid: number; killed: boolean }> }>("down");
    expect(stopped.map(({ pid }) => pid)).toEqual(expect.arrayContaining(all.map(({ pid }) => pid)));
    expect(leaf.processes()).toEqual([]);
    expect(readdirSync(join(leaf.dir, "run"))).toEqual([]);
    await leaf.json<Up>("up");
    const { code } = await leaf.run(["watch", submitted.leafId]);
    expect(code).toBe(0);
  });

  test("finds a brain whose dispatcher was killed", async () => {
    const leaf = await temporaryLeaf();
    const up = await leaf.json<Up>("up");
    await leaf.json("submit", "Run: sleep 30");
    while (leaf.processes("brain").length === 0) await sleep(20);
    process.kill(pidOf(up, "dispatcher"), "SIGKILL");
    expect(await leaf.run(["down"])).toMatchObject({ code: 0 });
    expect(leaf.processes()).toEqual([]);
  });

  test("twice, and behind a reboot, has nothing to do: a pid that is another process now is left alone", async () => {
    const leaf = await temporaryLeaf();
    await leaf.json<Up>("up");
    const record = readFileSync(join(leaf.dir, "run", "model.json"), "utf8");
    await leaf.json("down");
    const bystander = { ...(JSON.parse(record) as object), pid: process.pid };
    writeFileSync(join(leaf.dir, "run", "model.json"), JSON.stringify(bystander));
    expect(await leaf.run(["down"])).toMatchObject({ code: 0, stdout: "nothing was running\n" });
    expect(readdirSync(join(leaf.dir, "run"))).toEqual([]);
  });
});

describe("the examples of up and down", () => {
  test.each(EXAMPLES.up)("$line", async ({ line }) => {
    const leaf = await temporaryLeaf();
    const env = { LEAF_DIR: leaf.dir, LEAF_PORT: "0" };
    expect(await runProgram("bash", shellLine(line), { env })).toMatchObject({ code: 0, stderr: expect.any(String) });
    expect(await runProgram("bash", shellLine(EXAMPLES.down[0].line), { env })).toMatchObject({ code: 0 });
    expect(leaf.processes()).toEqual([]);
  });
});

describe("leaf down under a leaf at work", () => {
  const running = async (leaf: Awaited<ReturnType<typeof temporaryLeaf>>, line: string): Promise<void> => {
    while (!leaf.processes("hands").some(({ args }) => args.join(" ") === line)) await sleep(20);
  };

  test("lists what it ends, and the model is told that the sandbox was shut down, which nobody cancelled", async () => {
    const leaf = await temporaryLeaf();
    await leaf.run(["up"]);
    const { leaf: submitted } = await leaf.json<LeafJson>("submit", "Run: echo begun; sleep 666");
    await running(leaf, "sleep 666");
    const down = await leaf.run(["down"]);
    expect(down).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^stopped \d+ processes, none is left\n$/),
      stderr: expect.stringMatching(new RegExp(`suspends ${submitted.leafId} \\(\\w+; bash {2}echo begun; sleep 666\\)`)),
    });
    await leaf.run(["up"]);
    const { code, stdout } = await leaf.run(["watch", submitted.leafId]);
    expect(code).toBe(0);
    expect(stdout).toContain("The sandbox was shut down while this command ran");
    expect(stdout).not.toMatch(/was cancelled/);
  });

  test("--wait lets it come to its end first, and Ctrl-C ends the wait alone", async () => {
    const leaf = await temporaryLeaf();
    await leaf.run(["up"]);
    const { leaf: submitted } = await leaf.json<LeafJson>("submit", "Run: until [ -e go ]; do sleep 0.1; done; echo whole");
    while ((await leaf.json<LeafJson>("get", submitted.leafId)).leaf.state === "LEAF_STATE_QUEUED");
    const interrupted = await leaf.run(["down", "--wait"], { onStderr: interruptAt(`waits for ${submitted.leafId}`) });
    expect(interrupted).toMatchObject({ code: 130, stderr: expect.stringContaining("nothing was stopped") });
    const go = join(leaf.dir, "sandbox", "workspaces", "default", submitted.spec.sessionId, "go");
    const down = await leaf.run(["down", "--wait"], { onStderr: (sofar) => sofar.includes("waits for") && writeFileSync(go, "") });
    expect(down).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stopped \d+ processes/) });
    expect(leaf.processes()).toEqual([]);
    await leaf.run(["up"]);
    const { leaf: ended } = await leaf.json<LeafJson>("get", submitted.leafId);
    expect(ended).toMatchObject({ state: "LEAF_STATE_DONE", result: { text: expect.stringContaining("whole") } });
  });
});
