import { mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf, commandLine, processStartTicks } from "@serverless-harness/kit/proc";
import { Stream } from "@serverless-harness/proto/hands";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keeperFiles } from "../../../process/keeper/files.ts";
import { KeeperLauncher } from "../../../process/keeper/launcher.ts";
import type { ProcessEnd, ProcessSpec, RunningProcess } from "../../../process/launcher.ts";

interface Run {
  readonly process: RunningProcess;
  readonly started: Promise<number>;
  /** Resolves with stdout once it holds the text. */
  shows(text: string): Promise<string>;
  readonly ended: Promise<{ end: ProcessEnd; stdout: Buffer; stderr: string }>;
  readonly taken: () => number;
}

const ENV = { PATH: "/usr/local/bin:/usr/bin:/bin" };
let launcher: KeeperLauncher;
let cwd: string;

beforeEach(() => {
  launcher = new KeeperLauncher(keeperFiles());
  cwd = realpathSync(mkdtempSync(join(tmpdir(), "keeper-test-")));
});
afterEach(async () => {
  await launcher.close();
  rmSync(cwd, { recursive: true });
});

describe("the keeper", () => {
  it("runs a program with its arguments, without a shell", async () => {
    const { end, stdout } = await run({ command: { argv: ["printf", "%s|", "a b", "$HOME", "*"] } }).ended;
    expect([end, stdout.toString()]).toEqual([{ kind: "exit", code: 0 }, "a b|$HOME|*|"]);
  });

  it("says why a program can't be started", async () => {
    const missing = await run({ command: { argv: ["no-such-program"] } }).ended;
    const denied = await run({ command: { argv: ["/etc/passwd"] } }).ended;
    expect(missing.end).toEqual({ kind: "start_failed", message: "No such file or directory" });
    expect(denied.end).toEqual({ kind: "start_failed", message: "Permission denied" });
  });

  it("runs a script without an interpreter line, as execvp does", async () => {
    await run({ command: { shell: "printf 'echo script $1' > s; chmod +x s" } }).ended;
    const { stdout } = await run({ command: { argv: ["./s", "arg"] } }).ended;
    expect(stdout.toString()).toBe("script arg\n");
  });

  it("gives a command no descriptor but its own three", async () => {
    const { stdout } = await run({ command: { shell: "ls /proc/self/fd" } }).ended;
    expect(stdout.toString().split("\n").filter(Boolean)).toEqual(["0", "1", "2", "3"]);
  });

  it("leaks nothing from one command to the next", async () => {
    await run({ command: { shell: "export A=1; cd /; umask 000; ulimit -n 10; set -e; trap '' TERM; exec 7>&1" } }).ended;
    const { stdout } = await run({ command: { shell: "echo $A $PWD; umask; ulimit -n; trap; ls /proc/self/fd | wc -l" } }).ended;
    expect(stdout.toString()).toMatch(new RegExp(`^${cwd}\n0022\n(?!10\n)\\d+\n4\n$`));
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "reaches every descendant with %s: double forks, new sessions, empty environments",
    async (signal) => {
      const escapes =
        "(env -i /usr/bin/setsid -f /bin/sleep 300; (sleep 300 &) ; setsid -f bash -c 'exec sleep 300'); sleep 300 & echo ready; wait";
      const { started, process, shows, ended } = run({ command: { shell: escapes } });
      await started;
      await shows("ready");
      await until(() => sleepers().length === 4);
      process.signal(signal);
      expect((await ended).end).toEqual({ kind: "signal", signal });
      await until(() => sleepers().length === 0);
    },
  );

  it("kills a command that forks as fast as it can", async () => {
    const bomb = "f() { while :; do sleep 300 & done; }; f & f & echo ready; wait";
    const { process, shows, ended } = run({ command: { shell: bomb } });
    await shows("ready");
    await until(() => sleepers().length > 50);
    process.signal("SIGKILL");
    await ended;
    await until(() => sleepers().length === 0);
  });

  it("ends a command whose background child holds its output, and lets the child live", async () => {
    const { ended } = run({ command: { shell: "sleep 300 & echo $!" } });
    const { end, stdout } = await ended;
    const pid = Number(stdout.toString());
    expect(end).toEqual({ kind: "exit", code: 0 });
    expect(processStartTicks(pid)).toBeDefined();
    process.kill(pid, "SIGKILL");
  });

  it("delivers all output of a command before its end", async () => {
    for (let i = 0; i < 20; i++) {
      const { end, stdout } = await run({ command: { shell: "head -c 1000000 /dev/urandom" } }).ended;
      expect([end.kind, stdout.length]).toEqual(["exit", 1_000_000]);
    }
  });

  it("reads no more of a paused command, and loses nothing when it goes on", async () => {
    const { process, started, ended } = run({ command: { shell: "seq 200000; echo last" } });
    process.pause();
    await started;
    const other = await run({ command: { shell: "echo other" } }).ended;
    expect(other.stdout.toString()).toBe("other\n");
    process.resume();
    const { stdout } = await ended;
    expect(stdout.toString()).toBe(`${Array.from({ length: 200_000 }, (_, i) => i + 1).join("\n")}\nlast\n`);
  });

  it("writes a large input to a command that reads slowly", async () => {
    const input = Buffer.alloc(3_000_000, "input ");
    const { process, ended } = run({ command: { shell: "sleep 0.1; cksum; cat" }, stdin: true });
    process.write(input);
    process.closeStdin();
    expect((await ended).stdout.toString()).toMatch(/^\d+ 3000000\n$/);
  });

  it("tells how much of an input the command took, but for what is less than 64 KiB, and that the rest is never read", async () => {
    const { process, shows, ended, taken } = run({
      command: { shell: "head -c 1000000 | wc -c; echo read; exec 0<&-; sleep 0.1" },
      stdin: true,
    });
    process.write(Buffer.alloc(3_000_000));
    await shows("read");
    expect(taken()).toBeGreaterThanOrEqual(1_000_000 - 65_536);
    await ended;
    expect(taken()).toBeGreaterThan(3_000_000 - 65_536);
    expect(taken()).toBeLessThanOrEqual(3_000_000);
  });

  it("runs two hundred commands at once", async () => {
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) => run({ command: { shell: `echo ${i}; exit ${i % 100}` } }).ended),
    );
    expect(results.map((r) => [r.stdout.toString(), r.end])).toEqual(
      Array.from({ length: 200 }, (_, i) => [`${i}\n`, { kind: "exit", code: i % 100 }]),
    );
  });

  it("takes a command line that is larger than exec allows", async () => {
    const { stdout } = await run({ command: { shell: `: ${"x".repeat(1_000_000)}; echo done` } }).ended;
    expect(stdout.toString()).toBe("done\n");
  });

  it("shows the command to ps", async () => {
    const { stdout } = await run({ command: { shell: "ps -o args= -p $$; exit 0" } }).ended;
    expect(stdout.toString().trimEnd()).toBe("bash -c ps -o args= -p $$; exit 0");
  });

  it("keeps no descriptor and no process of what has ended", async () => {
    for (let i = 0; i < 50; i++) await run({ command: { shell: "echo x" }, stdin: i % 2 === 0 }).ended;
    const descriptors = () => readdirSync(`/proc/${keeperPid()}/fd`).length;
    // At rest it has two shells that wait, each below its reaper, and up to two reapers that are free.
    const isAtRest = () => childrenOf(keeperPid()).length <= 4;
    await until(isAtRest);
    const before = descriptors();
    for (let i = 0; i < 300; i++) await run({ command: { shell: "echo x" }, stdin: i % 2 === 0 }).ended;
    // A reaper that is free has one descriptor of the keeper.
    await until(() => isAtRest() && descriptors() <= before + 2);
  });

  it("reports what it ran as lost when it is killed, and comes back for the next command", async () => {
    const { started, ended } = run({ command: { shell: "sleep 300" } });
    await started;
    process.kill(keeperPid(), "SIGKILL");
    expect((await ended).end).toEqual({ kind: "lost", message: "the fork server ended (SIGKILL)" });
    expect((await run({ command: { shell: "echo back" } }).ended).stdout.toString()).toBe("back\n");
    for (const pid of sleepers()) process.kill(pid, "SIGKILL");
  });

  it("takes everything down with it when it is closed", async () => {
    const { started, ended } = run({ command: { shell: "setsid -f sleep 300; sleep 300" } });
    await started;
    await until(() => sleepers().length === 2);
    await launcher.close();
    expect((await ended).end.kind).toBe("lost");
    await until(() => sleepers().length === 0);
  });
});

function run(spec: Partial<ProcessSpec> & Pick<ProcessSpec, "command">): Run {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<{ end: ProcessEnd; stdout: Buffer; stderr: string }>();
  let taken = 0;
  let heard = () => undefined as undefined;
  const process = launcher.start(
    { workspace: { name: "t/s", path: cwd }, cwd, env: ENV, stdin: false, ...spec },
    {
      started: started.resolve,
      output: (stream, data) => {
        (stream === Stream.STDOUT ? out : err).push(data);
        heard();
      },
      inputTaken: (bytes) => (taken += bytes),
      ended: (end) => ended.resolve({ end, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() }),
    },
  );
  const shows = (text: string): Promise<string> =>
    new Promise((resolve) => {
      heard = () => {
        const shown = Buffer.concat(out).toString();
        if (shown.includes(text)) resolve(shown);
        return undefined;
      };
      heard();
    });
  return { process, started: started.promise, shows, ended: ended.promise, taken: () => taken };
}

/** The keeper that this test's launcher runs. */
function keeperPid(): number {
  const pid = childrenOf(process.pid).find((child) => commandLine(child)[0]?.endsWith("keeper"));
  if (pid === undefined) throw new Error("no keeper runs");
  return pid;
}

/** Pids of the `sleep 300` processes that run in this test's directory. */
function sleepers(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => commandLine(pid).at(-1) === "300" && cwdOf(pid) === cwd);
}

function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

/** Wait for something that the kernel does on its own time; the test's time limit bounds it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
