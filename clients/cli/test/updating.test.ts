import { existsSync, readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Checkout } from "./checkout.ts";
import { type LeafJson, temporaryLeaf } from "./leaf.ts";

interface Versions {
  readonly version: { readonly running: string; readonly checkout: string; readonly outdated: boolean };
}

test("a running stack loses nothing when all of its checkout is replaced", async () => {
  const checkout = await Checkout.create();
  const { leaf } = checkout;
  expect(await checkout.run(["up"])).toMatchObject({ code: 0 });
  checkout.takeAway();
  for (const word of ["one", "two"]) {
    const turn = await leaf.run(["turn", "--timeout", "30", `Run: echo ${word} $((40 + 2))`]);
    expect(turn).toMatchObject({ code: 0, stdout: expect.stringContaining(`${word} 42`) });
  }
  const steps = [{ tools: [{ name: "terminal", input: { action: "open", command: "echo from-a-terminal" } }] }, { text: "seen" }];
  const terminal = await leaf.run([
    "turn",
    "--timeout",
    "30",
    "--json",
    `Do as the script says.\n\`\`\`script\n${JSON.stringify({ steps })}\n\`\`\``,
  ]);
  expect(terminal).toMatchObject({ code: 0, stdout: expect.stringContaining("from-a-terminal") });
  expect(await leaf.run(["status"])).toMatchObject({ code: 0 });
});

test("after an update up and status say that another version runs, and up --restart starts it and goes on with what it suspends", async () => {
  const checkout = await Checkout.create();
  const { leaf } = checkout;
  const first = await checkout.json<Versions>("up");
  expect(first.version).toEqual({ running: first.version.checkout, checkout: first.version.running, outdated: false });
  checkout.takeAway();
  checkout.update();

  const again = await checkout.json<Versions>("up");
  expect(again.version).toMatchObject({ running: first.version.running, outdated: true });
  expect(again.version.checkout).not.toBe(first.version.running);
  expect(await checkout.json<Versions>("status")).toMatchObject({ version: again.version });
  for (const command of ["up", "status"]) {
    const told = await checkout.run([command]);
    expect(told).toMatchObject({ code: 0 });
    expect(told.stdout + told.stderr).toContain("`leaf up --restart`");
  }

  const { leaf: submitted } = await leaf.json<LeafJson>("submit", "Run: sleep 667; echo over");
  while (!leaf.processes("hands").some(({ args }) => args.join(" ") === "sleep 667")) await sleep(20);
  const restarted = await checkout.run(["up", "--restart"]);
  expect(restarted).toMatchObject({ code: 0, stderr: expect.stringContaining(`suspends ${submitted.leafId}`) });
  expect(await checkout.json<Versions>("status")).toMatchObject({
    version: { running: again.version.checkout, checkout: again.version.checkout, outdated: false },
  });
  expect(await leaf.run(["watch", submitted.leafId])).toMatchObject({ code: 0 });
  for (const { args } of leaf.processes()) expect(args.join(" ")).not.toContain(first.version.running);
});

test("sources that are newer than their bundles are another version, which up bundles", async () => {
  const checkout = await Checkout.create();
  const { version: first } = await checkout.json<Versions>("up");
  checkout.edit("dispatcher/main.ts");
  expect(await checkout.json<Versions>("status")).toMatchObject({ version: { running: first.running, checkout: null, outdated: true } });
  const { version } = await checkout.json<Versions>("up", "--restart");
  expect(version).toEqual({ running: version.checkout, checkout: version.running, outdated: false });
  expect(version.running).not.toBe(first.running);
  expect(await checkout.run(["turn", "Run: echo bundled"])).toMatchObject({ code: 0, stdout: expect.stringContaining("bundled") });
});

test("a version that no process uses is removed once it was not chosen lately, and one that runs is not", async () => {
  const checkout = await Checkout.create();
  const versions = join(checkout.root, ".versions");
  const long = new Date(Date.now() - 3_600_000);
  const { version: first } = await checkout.json<Versions>("up");
  checkout.takeAway();
  checkout.update();
  const other = await temporaryLeaf();
  const second = await checkout.run(["up", "--json"], { env: { LEAF_DIR: other.dir } });
  const { version: newer } = JSON.parse(second.stdout) as Versions;
  utimesSync(join(versions, first.running), long, long);
  await checkout.json("up");
  expect(readdirSync(versions).sort()).toEqual([first.running, newer.running, "checkout.json", "lock"].sort());
  await checkout.json("up", "--restart");
  expect(existsSync(join(versions, first.running))).toBe(false);
  expect(existsSync(join(versions, newer.running))).toBe(true);
});
