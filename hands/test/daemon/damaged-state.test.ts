import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";

/** Ways to spoil what the daemon remembers of a workspace. */
const DAMAGES: Readonly<Record<string, (state: string) => void>> = {
  "null in the journal of execs": (state) => appendFileSync(join(state, "execs", "execs.jsonl"), "null\n"),
  "an impossible pid in the journal of execs": (state) =>
    appendFileSync(join(state, "execs", "execs.jsonl"), `{"type":"process","id":"x","process":{"pid":-1,"startTicks":"1","world":"w"}}\n`),
  "a directory in the place of the journal of execs": (state) => {
    rmSync(join(state, "execs", "execs.jsonl"));
    mkdirSync(join(state, "execs", "execs.jsonl"));
  },
  "null in the log of changes": (state) => appendFileSync(join(state, "changes.jsonl"), "\nnull"),
  "null in the place of what is remembered of its trees": (state) => {
    mkdirSync(join(state, "git"), { recursive: true });
    writeFileSync(join(state, "git", "state.json"), "null");
  },
  "null in the place of its record": (state) => writeFileSync(join(state, "workspace.json"), "null"),
};

test("whatever of a workspace is damaged, the daemon starts, that workspace alone is set aside, and the log says so", async () => {
  const first = await startDaemon();
  const names = Object.keys(DAMAGES).map((_, index) => `acme/damaged-${index}`);
  for (const name of [...names, "acme/whole"]) {
    const workspace = await first.connect(name);
    await workspace.write("file", Buffer.from(name), { changeId: "write" });
    await follow(workspace, "true").handle.ended;
  }
  first.process.kill("SIGKILL");
  await first.gone;
  for (const [index, damage] of Object.values(DAMAGES).entries()) damage(join(first.base, "state", "workspaces", names[index] ?? ""));
  const second = await startDaemon({}, first.base);
  const whole = await second.connect("acme/whole");
  expect(readdirSync(join(first.base, "workspaces", "acme"))).toEqual(["whole"]);
  expect(Buffer.from(await whole.read("file")).toString()).toBe("acme/whole");
  for (const name of names) expect(second.log()).toMatch(new RegExp(`"workspace":"${name}".*was set aside`));
  expect(second.log()).not.toMatch(/"workspace":"acme\/whole".*set aside/);
  const again = await second.connect(names[0]);
  expect((await follow(again, "ls").handle.ended).exitCode).toBe(0);
});
