import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type LeafJson, sharedStack } from "./leaf.ts";

const stack = sharedStack();

interface ScheduleJson {
  readonly schedule: {
    readonly revision: string;
    readonly cron: string;
    readonly paused?: boolean;
    readonly spec: { readonly prompt: string; readonly labels?: object };
    readonly upcomingMs?: string[];
    readonly recentFires?: Array<{ fireId: string; leafId: string }>;
  };
}

describe("leaf schedule", () => {
  test("makes a schedule, shows when it fires in its zone and here, and takes the same again", async () => {
    const create = ["schedule", "create", "nightly", "30 2 * * *", "--zone", "Asia/Kolkata", "--jitter", "90", "Run: echo __FIRE__"];
    const made = await stack.leaf.run(create, { env: { TZ: "Europe/Berlin" } });
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" });
    expect(made.stdout).toMatch(/^cron +30 2 \* \* \* {2}Asia\/Kolkata$/m);
    expect(made.stdout).toMatch(/^jitter +up to 1 m 30 s$/m);
    // Half past two in Kolkata is ten or eleven at night in Berlin, on the day before.
    expect(made.stdout).toMatch(/^next +\d{4}-\d\d-\d\d 02:30:00 \(\d{4}-\d\d-\d\d 2[23]:00:00 here, in /m);
    expect(made.stdout.match(/ 02:30:00 \(/g)).toHaveLength(5);
    expect(made.stdout).not.toContain("\u001b");
    const again = await stack.leaf.run(create);
    expect(again).toMatchObject({ code: 0, stderr: "this schedule was there already, as it is\n" });
    const other = await stack.leaf.run(["schedule", "create", "nightly", "31 2 * * *", "x"]);
    expect(other).toMatchObject({ code: 7, stdout: "", stderr: expect.stringContaining("another schedule of this id") });
  });

  test("colours where it is told to", async () => {
    await stack.leaf.run(["schedule", "create", "colours", "0 0 1 1 *", "x"]);
    const { stdout } = await stack.leaf.run(["schedule", "get", "colours"], { env: { FORCE_COLOR: "1" } });
    expect(stdout).toContain("\u001b[32mactive");
  });

  test("changes what is said and nothing else, pauses, resumes, and deletes", async () => {
    await stack.leaf.run(["schedule", "create", "changing", "0 3 * * *", "--label", "a=b", "--task", "first"]);
    const changed = await stack.leaf.json<ScheduleJson>("schedule", "update", "changing", "--cron", "0 4 * * *", "--prompt", "second");
    expect(changed.schedule).toMatchObject({
      revision: "2",
      cron: "0 4 * * *",
      spec: { prompt: "second", labels: { a: "b" }, kind: "LEAF_KIND_TASK" },
    });
    expect((await stack.leaf.run(["schedule", "pause", "changing"])).stdout).toMatch(/^state +paused$/m);
    expect((await stack.leaf.run(["schedule", "list"])).stdout).toMatch(/^changing +0 4 \* \* \* +UTC +paused +0 +second$/m);
    expect((await stack.leaf.json<ScheduleJson>("schedule", "resume", "changing")).schedule.upcomingMs).toHaveLength(5);
    expect(await stack.leaf.run(["schedule", "delete", "changing"])).toMatchObject({
      code: 0,
      stdout: "deleted changing; its leaves stay\n",
    });
    for (const verb of ["get", "pause", "resume", "run", "delete"])
      expect(await stack.leaf.run(["schedule", verb, "changing"])).toMatchObject({
        code: 4,
        stderr: "leaf: the tenant has no schedule of this id: check it\n",
      });
  });

  test("runs a schedule now, once for each name of a run, and shows what became of it", async () => {
    await stack.leaf.run(["schedule", "create", "rare", "0 0 29 2 *", "Run: echo __FIRE__"]);
    const run = await stack.leaf.json<LeafJson & { fireId: string; created: boolean }>("schedule", "run", "rare", "--key", "first");
    expect(run).toMatchObject({ fireId: "rare-run-first", created: true });
    expect((await stack.leaf.run(["schedule", "run", "rare", "--key", "first"])).stdout).toBe(`${run.leaf.leafId}\n`);
    expect((await stack.leaf.run(["watch", run.leaf.leafId])).stdout).toContain("rare-run-first");
    const got = await stack.leaf.run(["schedule", "get", "rare"]);
    expect(got.stdout).toMatch(new RegExp(`^last +rare-run-first {2}submitted {2}${run.leaf.leafId}$`, "m"));
  });

  test.each([
    [["create", "s", "* * 30 2 *", "x"], "schedule.cron: must name a time that comes"],
    [["create", "s", "99 * * * *", "x"], "schedule.cron: must be a cron expression"],
    [["create", "s", "* * * * *", "x", "--zone", "Mars"], "schedule.time_zone: must be an IANA time zone"],
    [["create", "a b", "* * * * *", "x"], "schedule.schedule_id: must be"],
  ])("%j is refused in one line that says what is right", async (args, message) => {
    const { code, stdout, stderr } = await stack.leaf.run(["schedule", ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});

describe("leaf cron-dispatch", () => {
  async function dispatch(items: unknown, ...args: string[]) {
    const directory = await mkdtemp(join(tmpdir(), "leaf-cron-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const file = join(directory, "schedule.json");
    await writeFile(file, typeof items === "string" ? items : JSON.stringify({ items }));
    return await stack.leaf.run(["cron-dispatch", file, ...args], { env: { JOB_NAME: "nightly-7" } });
  }

  test("submits every item with the fire in it, and no second leaf for the same fire", async () => {
    const items = [1, 2].map((n) => ({ spec: { prompt: `Run: echo ${n} of __FIRE__`, labels: { cron: "__FIRE__" } } }));
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await dispatch(items)).toEqual({ code: 0, stdout: "cron-dispatch: 2/2 accepted, 0 failed (fire=nightly-7)\n", stderr: "" });
    }
    const { leaves } = await stack.leaf.json<{ leaves: Array<{ spec: { prompt: string } }> }>("list", "--label", "cron=nightly-7");
    expect(leaves.map(({ spec }) => spec.prompt)).toEqual(["Run: echo 2 of nightly-7", "Run: echo 1 of nightly-7"]);
    expect((await dispatch(items, "--fire", "other")).stdout).toContain("(fire=other)");
  });

  test("takes the envelopes of the seed system's configuration, with the fire at every depth", async () => {
    const item = { item_id: "i1 of __FIRE__", file: "risky.py", pattern: "eval(" };
    const { code, stdout, stderr } = await dispatch([{ sessionId: "run-__FIRE__/i1", item }]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "cron-dispatch: 1/1 accepted, 0 failed (fire=nightly-7)\n", stderr: "" });
    const { leaves } = await stack.leaf.json<{ leaves: object[] }>("list", "--limit", "3");
    expect(JSON.stringify(leaves[0])).toContain("i1 of nightly-7");
  });

  test("tries every item, tells which were refused and why, and ends with 1", async () => {
    const items = [
      { spec: { prompt: " ", sessionId: "blank" } },
      "nonsense",
      { spec: { prompts: "x" } },
      { spec: { prompt: "Run: true" }, idempotencyKeys: "x" },
      { sessionId: "run/__FIRE__" },
      { spec: { prompt: "Run: true" } },
    ];
    const { code, stdout, stderr } = await dispatch(items);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "cron-dispatch: 1/6 accepted, 5 failed (fire=nightly-7)\n" });
    const lines = stderr.trim().split("\n");
    expect(lines).toHaveLength(5);
    expect(lines[0]).toContain("item 1 (blank) refused: spec.prompt: must be text that is not blank");
    expect(lines[1]).toContain("item 2 refused: an item has to be an object");
    expect(lines[2]).toMatch(/^item 3 refused: spec: .*"prompts"/);
    expect(lines[3]).toContain("item 4 refused: idempotencyKeys: is no field of an item");
    expect(lines[4]).toMatch(/^item 5 \(run\/nightly-7\) refused: HTTP 4\d\d/);
    const document = JSON.parse((await dispatch(items.slice(0, 1), "--json")).stdout);
    expect(document).toMatchObject({ fire: "nightly-7", accepted: 0, failed: 1, items: [{ item: 1, name: "blank", accepted: false }] });
  });

  test("of nothing is well, and says so", async () => {
    const { code, stdout, stderr } = await dispatch([]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "cron-dispatch: 0/0 accepted, 0 failed (fire=nightly-7)\n" });
    expect(stderr).toContain("lists no items");
  });

  test.each([
    ["{", "holds no JSON"],
    ["[]", 'has to hold {"items": [...]}'],
    ['{"items": {}}', 'has to hold {"items": [...]}'],
  ])("of a file with %s is refused", async (text, message) => {
    expect(await dispatch(text)).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(message) });
  });
});
