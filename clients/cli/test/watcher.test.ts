import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { stackPaths } from "../stack/paths.ts";
import { readWatch, type Watch, type WatchBounds, watcherArguments } from "../stack/watch.ts";

const PROGRAM = join(import.meta.dirname, "../watcher/build/watcher");
const QUICK: WatchBounds = { baseMs: 1, maxMs: 8, steadyMs: 60_000, deaths: 4 };

interface Watched {
  readonly watcher: ChildProcess;
  readonly directory: string;
  /** Lines of its log. */
  lines(): string[];
  watch(): Watch | undefined;
  /** Its exit code. */
  readonly gone: Promise<number | null>;
}

/** A watcher over a line of sh, which has a directory of its own as `$0`. */
async function watched(line: string, { bounds = QUICK, works = true } = {}): Promise<Watched> {
  const directory = await temporaryDirectory();
  const paths = { ...stackPaths(directory), run: directory, watch: () => join(directory, "hands.watch") };
  if (works) writeFileSync(join(directory, "hands.address"), "unix:/where/it/was\n");
  const args = watcherArguments(paths, { name: "hands", listen: "HANDS_LISTEN" }, bounds, ["/bin/sh", "-c", line, directory]);
  const watcher = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(async () => {
    watcher.kill("SIGTERM");
    await gone;
  });
  let log = "";
  for (const stream of [watcher.stdout, watcher.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (log += text));
  const gone = once(watcher, "close").then(([code]) => code as number | null);
  return { watcher, directory, gone, lines: () => log.split("\n").filter(Boolean), watch: () => readWatch(paths, "hands") };
}

async function until(happened: () => boolean): Promise<void> {
  while (!happened()) await sleep(5);
}

test("a service that dies again and again is started as often as it may, then given up with a word about it", async () => {
  const { gone, lines, watch, directory } = await watched('echo x >>"$0/starts"; echo "no luck"; exit 3');
  expect(await gone).toBe(3);
  expect(readFileSync(join(directory, "starts"), "utf8")).toBe("x\n".repeat(5));
  expect(watch()).toMatchObject({ state: "gave-up", pid: 0, restarts: 4, lastEnd: "ended with exit code 3" });
  expect(JSON.parse(lines().at(-1) ?? "")).toMatchObject({
    level: 60,
    msg: "hands died (ended with exit code 3) and is not started again: it died too often in a row",
  });
  const pauses = lines().flatMap((line) => /is started again in (\d+) ms/.exec(line)?.[1] ?? []);
  expect(pauses).toEqual(["1", "2", "4", "8"]);
});

test("a service that was killed is started again, at the address that it had", async () => {
  const { watch, directory, lines } = await watched('echo "$HANDS_LISTEN" >>"$0/addresses"; exec sleep 3600');
  const addresses = () => (existsSync(join(directory, "addresses")) ? readFileSync(join(directory, "addresses"), "utf8") : "");
  // The watcher tells a pid before the service has run a line: killed then, it would have written no address.
  await until(() => addresses().split("\n").length === 2);
  const first = watch()?.pid ?? 0;
  process.kill(first, "SIGKILL");
  await until(() => watch()?.state === "running" && watch()?.pid !== first);
  await until(() => addresses().split("\n").length === 3);
  expect(addresses()).toBe("\nunix:/where/it/was\n");
  expect(watch()).toMatchObject({ restarts: 1, lastEnd: "killed by signal 9, Killed" });
  expect(lines().join()).toContain("hands died (killed by signal 9, Killed) and is started again");
});

test("what it says is JSON, whatever a service's program is called", async () => {
  const { lines, gone } = await watched("kill -SEGV $$");
  await gone;
  for (const line of lines()) expect(JSON.parse(line)).toMatchObject({ name: "watcher" });
});

test.each([
  ["a service that ends before it has worked", "exit 5", false, 5],
  ["a service that ends by itself", "exit 0", true, 0],
  ["a service that can't use its settings", "exit 64", true, 64],
])("%s is not started again, and its exit code is the watcher's", async (_what, line, works, code) => {
  const { gone, watch } = await watched(`echo x >>"$0/starts"; ${line}`, { works });
  expect(await gone).toBe(code);
  expect(watch()).toMatchObject({ restarts: 0, state: code === 64 ? "gave-up" : "ended" });
});

test("asked to end it passes that on and starts nothing more, also between two lives", async () => {
  const living = await watched('trap "echo asked >$0/asked; exit 7" TERM; echo up; while :; do sleep 0.01; done');
  await until(() => living.lines().includes("up"));
  living.watcher.kill("SIGTERM");
  expect(await living.gone).toBe(0);
  expect(existsSync(join(living.directory, "asked"))).toBe(true);

  const waiting = await watched("exit 1", { bounds: { ...QUICK, baseMs: 3_600_000, maxMs: 3_600_000 } });
  await until(() => waiting.watch()?.state === "waiting");
  waiting.watcher.kill("SIGTERM");
  expect(await waiting.gone).toBe(0);
  expect(waiting.watch()).toMatchObject({ state: "ended", restarts: 0 });
});

test("told that nothing is to be started again it lets the service live, and ends with it", async () => {
  const { watcher, watch, gone, lines } = await watched("echo up; exec sleep 3600");
  await until(() => lines().includes("up"));
  watcher.kill("SIGUSR1");
  const { pid = 0 } = watch() ?? {};
  process.kill(pid, "SIGKILL");
  expect(await gone).toBe(0);
  expect(watch()).toMatchObject({ restarts: 0, state: "ended" });
});

test("told not to wait any longer it starts the service at once", async () => {
  const { watcher, watch } = await watched('[ -e "$0/died" ] && exec sleep 3600; echo >"$0/died"; exit 1', {
    bounds: { ...QUICK, baseMs: 3_600_000, maxMs: 3_600_000 },
  });
  await until(() => watch()?.state === "waiting");
  watcher.kill("SIGUSR2");
  await until(() => watch()?.state === "running");
  expect(watch()).toMatchObject({ restarts: 1 });
});
