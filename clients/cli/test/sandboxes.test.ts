import { describe, expect, test } from "vitest";
import { EXAMPLES } from "../examples.ts";
import { jsonLines, type Leaf, type LeafJson, runProgram, sharedStack, shellLine, temporaryLeaf } from "./leaf.ts";

const stack = sharedStack("--sandboxes", "2");

/** Wait until as many sandboxes are listed as there, and no other. */
async function untilThere(leaf: Leaf, ...names: readonly string[]): Promise<void> {
  await expect
    .poll(async () => (await leaf.run(["sandbox", "list"])).stdout.split("\n").slice(1, -1), { timeout: 30_000 })
    .toEqual(names.map((name) => expect.stringMatching(new RegExp(`^${name} +there `))));
}

/** Run a turn to its end; its leaf, and where it was placed. */
async function turn(leaf: Leaf, ...args: readonly string[]) {
  const { code, stdout, stderr } = await leaf.run(["turn", "--json", ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [first, ...events] = jsonLines(stdout) as Array<Record<string, Record<string, object>>>;
  const { leaf: made } = first as unknown as LeafJson;
  return { made, placed: events.flatMap(({ event }) => (event?.["placed"] === undefined ? [] : [event["placed"]])), stdout };
}

const sandboxOf = ({ placed }: Awaited<ReturnType<typeof turn>>) => (placed[0] as { sandbox?: string } | undefined)?.sandbox ?? "";

describe("leaf sandbox", () => {
  test("lists the pool, as status does, once and live", async () => {
    await untilThere(stack.leaf, "s1", "s2");
    const { stdout } = await stack.leaf.run(["sandbox", "list"]);
    expect(stdout).toMatch(
      /^SANDBOX +STATE +WORKING +PLACED +LABELS +TENANT +WHERE\ns1 +there +0 +\d+ +unix:\S+\ns2 +there +0 +\d+ +unix:\S+\n$/,
    );
    expect((await stack.leaf.run(["status"])).stdout).toMatch(/^sandboxes +s1 {2}there {2}0 working {2}\d+ placed\n +s2 {2}there /m);
    expect(await stack.leaf.json("status")).toMatchObject({ sandboxes: [{ name: "s1", state: "there" }, { name: "s2" }] });
    let drained = false;
    const watched = await stack.leaf.run(["sandbox", "list", "--watch"], {
      onStdout: (sofar, kill) => {
        if (!drained) void stack.leaf.run(["sandbox", "drain", "s2"]);
        drained = true;
        if (/^s2 +drained/m.test(sofar)) kill("SIGINT");
      },
    });
    expect(watched).toMatchObject({ code: 0, stderr: "" });
    expect(watched.stdout).not.toContain("\u001b");
    expect(await stack.leaf.run(["sandbox", "undrain", "s2"])).toMatchObject({ code: 0, stdout: "s2 takes sessions again\n" });
  });

  test("does what the help shows; a sandbox that was removed and is there comes back", async () => {
    const examples = Object.entries(EXAMPLES).filter(([name]) => name.startsWith("sandbox ") && name !== "sandbox join");
    for (const { line } of examples.flatMap(([, list]) => [...list]).filter(({ line }) => !line.endsWith("--watch"))) {
      const { code, stderr } = await runProgram("bash", shellLine(line), { env: { LEAF_DIR: stack.leaf.dir } });
      expect({ line, code, stderr }).toMatchObject({ code: 0 });
      if (line.includes("remove")) await untilThere(stack.leaf, "s1", "s2");
    }
  });

  test.each([
    [["drain", "nobody"], 4, "there is no sandbox nobody"],
    [["drain", "a b"], 2, "name: must be"],
    [["undrain", "nobody"], 4, "there is no sandbox nobody"],
    [["remove", "nobody"], 4, "there is no sandbox nobody"],
    [["nap"], 2, "unknown command 'sandbox nap'"],
  ])("%j is refused in one line", async (args, code, message) => {
    const { stderr, ...ended } = await stack.leaf.run(["sandbox", ...args]);
    expect(ended).toEqual({ code, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  test("is for admins, and each sees its own tenant's", async () => {
    const token = async (scope: string) => (await stack.leaf.json<{ secret: string }>("token", "create", "x", "--scope", scope)).secret;
    const LEAF_URL = (await stack.leaf.json<{ url: string }>("status")).url;
    const as = async (scope: string) => stack.leaf.run(["sandbox", "list"], { env: { LEAF_URL, LEAF_TOKEN: await token(scope) } });
    expect(await as("leaves:read")).toMatchObject({ code: 5, stderr: expect.stringContaining("use one with the scope admin") });
    expect(await as("admin")).toMatchObject({ code: 0, stderr: "no sandboxes\n" });
  });
});

describe("a session in a pool", () => {
  test("says where it works, and goes on elsewhere with its files if its sandbox is drained", async () => {
    const first = await turn(stack.leaf, "Run: echo kept > note");
    const from = sandboxOf(first);
    const watched = await stack.leaf.run(["watch", first.made.leafId]);
    expect(watched.stdout).toMatch(new RegExp(`placed in sandbox ${from}$`, "m"));
    await stack.leaf.json("sandbox", "drain", from);
    const next = await turn(stack.leaf, "--session", first.made.spec.sessionId, "Run: cat note");
    await stack.leaf.json("sandbox", "undrain", from);
    expect(next.placed).toEqual([expect.objectContaining({ movedFrom: from })]);
    expect(sandboxOf(next)).not.toBe(from);
    expect(next.stdout).toContain("kept");
  });

  test("begins near another one if that is asked for", async () => {
    const first = await turn(stack.leaf, "Run: true");
    const near = await Promise.all([1, 2, 3].map(() => turn(stack.leaf, "--near", first.made.spec.sessionId, "Run: true")));
    expect(near.map(sandboxOf)).toEqual(Array(3).fill(sandboxOf(first)));
  });
});

describe("leaf up --sandboxes", () => {
  test("shows and logs each sandbox, and starts one that was killed again", async () => {
    for (const part of ["hands", "s2"]) expect(stack.leaf.processes(part).some(({ main }) => main)).toBe(true);
    expect((await stack.leaf.run(["ps"])).stdout).toMatch(/^s2 +\d+ /m);
    for (const name of ["s1", "s2"]) expect((await stack.leaf.run(["logs", name])).stdout).toContain("hands is up");
    const logs = await stack.leaf.run(["logs", "s3"]);
    expect(logs).toMatchObject({ code: 2, stderr: expect.stringContaining("choose one of hands, model, dispatcher, brain, s2") });
    const killed = stack.leaf.processes("s2").find(({ main }) => main)?.pid ?? 0;
    process.kill(killed, "SIGKILL");
    await expect.poll(() => stack.leaf.processes("s2").find(({ main, pid }) => main && pid !== killed), { timeout: 20_000 }).toBeDefined();
    expect((await stack.leaf.run(["status"])).stdout).toMatch(/^restarts +s2 died and was started again 1 time/m);
    await untilThere(stack.leaf, "s1", "s2");
  });

  test("keeps their number, adds some to what runs, and empties those that it takes away", async () => {
    const leaf = await temporaryLeaf();
    expect(await leaf.run(["up"])).toMatchObject({ code: 0 });
    expect(await leaf.run(["sandbox", "list"])).toMatchObject({ code: 7, stderr: expect.stringContaining("no pool of sandboxes") });
    const hands = leaf.processes("hands").map(({ pid }) => pid);
    const grown = await leaf.run(["up", "--sandboxes", "3"]);
    expect(grown).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ {2}pool +s1, s2, s3$/m) });
    expect(leaf.processes("hands").map(({ pid }) => pid)).toEqual(expect.arrayContaining(hands));
    await untilThere(leaf, "s1", "s2", "s3");
    await leaf.json("sandbox", "drain", "s1");
    await leaf.json("sandbox", "drain", "s2");
    const first = await turn(leaf, "Run: echo kept > note");
    expect(sandboxOf(first)).toBe("s3");
    for (const name of ["s1", "s2"]) await leaf.json("sandbox", "undrain", name);

    await leaf.run(["down"]);
    expect(leaf.processes()).toEqual([]);
    const shrunk = await leaf.run(["up", "--sandboxes", "2"]);
    expect(shrunk).toMatchObject({ code: 0, stderr: expect.stringContaining("drains s3") });
    await untilThere(leaf, "s1", "s2");
    expect(leaf.processes("s3")).toEqual([]);
    const next = await turn(leaf, "--session", first.made.spec.sessionId, "Run: cat note");
    expect(next.stdout).toContain("kept");
    await leaf.run(["down"]);
    expect((await leaf.run(["up"])).stdout).toMatch(/^ {2}pool +s1, s2$/m);
  }, 120_000);

  test.each(["0", "33", "many"])("of %s is refused", async (count) => {
    const leaf = await temporaryLeaf();
    expect(await leaf.run(["up", "--sandboxes", count])).toMatchObject({ code: 2, stderr: expect.stringContaining("from 1 to 32") });
  });
});
