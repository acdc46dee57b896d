import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { childrenOf } from "@serverless-harness/kit/proc";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { keeperFiles } from "../../../process/keeper/files.ts";
import { Event, frame } from "../../../process/keeper/frames.ts";
import { KeeperLauncher, type KeeperOptions } from "../../../process/keeper/launcher.ts";
import type { ProcessEnd, RunningProcess } from "../../../process/launcher.ts";

const LIAR = fileURLToPath(new URL("./fixtures/lying-keeper.sh", import.meta.url));
/** The id of the first process that a launcher starts. */
const ID = 1;
const READY = frame(Event.READY, 0);
const STARTED = frame(Event.STARTED, ID, u32(4_000_000));

/** A launcher whose first fork servers tell these bytes, or fail so often; later ones are real. */
async function launcherWith(what: { readonly lie?: Buffer; readonly fail?: number }, options?: KeeperOptions): Promise<KeeperLauncher> {
  const directory = await temporaryDirectory();
  if (what.lie !== undefined) writeFileSync(join(directory, "lie"), what.lie);
  if (what.fail !== undefined) writeFileSync(join(directory, "fail"), "once\n".repeat(what.fail));
  const { keeper, zygote } = keeperFiles();
  const launcher = new KeeperLauncher({ keeper: LIAR, zygote, arguments: [keeper, directory] }, options);
  onTestFinished(() => launcher.close());
  return launcher;
}

interface Run {
  readonly process: RunningProcess;
  readonly started: Promise<number>;
  readonly ended: Promise<ProcessEnd>;
  text(): string;
}

function run(launcher: KeeperLauncher, shell: string): Run {
  let text = "";
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<ProcessEnd>();
  const process = launcher.start(
    { workspace: { name: "t/s", path: "/" }, command: { shell }, cwd: "/", env: { PATH: "/usr/bin:/bin" }, stdin: false },
    {
      started: started.resolve,
      output: (_stream, data) => {
        text += data;
      },
      inputTaken: () => undefined,
      ended: ended.resolve,
    },
  );
  return { process, started: started.promise, ended: ended.promise, text: () => text };
}

function u32(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) buffer.writeUInt32LE(value, i * 4);
  return buffer;
}

/** The begin of a frame, with `length` bytes to follow by its own word. */
function header(length: number, type: number, id: number): Buffer {
  return Buffer.concat([u32(length), Buffer.from([type]), u32(id)]);
}

describe("a fork server that tells", () => {
  test.each<[string, Buffer[]]>([
    ["that a process started, without saying which", [header(5, Event.STARTED, ID)]],
    ["of a start with too short a pid", [header(7, Event.STARTED, ID), Buffer.from([1, 2])]],
    ["of the pid 0", [frame(Event.STARTED, ID, u32(0))]],
    ["of a pid beyond all pids", [frame(Event.STARTED, ID, u32(0xffff_ffff))]],
    ["of two starts", [STARTED, STARTED]],
    ["of a process that was never asked for", [frame(Event.STARTED, 77, u32(5))]],
    ["of output before the start", [frame(Event.STDOUT, ID, Buffer.from("x"))]],
    ["of output without a byte", [STARTED, frame(Event.STDOUT, ID)]],
    ["of four gigabytes of output", [STARTED, header(0xffff_ffff, Event.STDOUT, ID)]],
    ["of four gigabytes of a failure", [header(0xffff_ffff, Event.FAILED, ID)]],
    ["of a length below its own header", [header(0, Event.GONE, ID)]],
    ["of an end without a code", [STARTED, header(5, Event.ENDED, ID)]],
    ["of an end of an unknown kind", [STARTED, frame(Event.ENDED, ID, Buffer.from([2, 0, 0, 0, 0]))]],
    ["of an exit code that none can be", [STARTED, frame(Event.ENDED, ID, Buffer.from([0, 0, 1, 0, 0]))]],
    ["of a signal that is none", [STARTED, frame(Event.ENDED, ID, Buffer.from([1, 99, 0, 0, 0]))]],
    ["of an end before the start", [frame(Event.ENDED, ID, Buffer.alloc(5))]],
    ["of more input taken than was given", [STARTED, frame(Event.INPUT_TAKEN, ID, u32(1))]],
    ["that a process is gone which has not ended", [STARTED, frame(Event.GONE, ID)]],
    ["something of an unknown type", [frame(99, ID)]],
    ["an answer that nobody asked for", [frame(Event.PONG, 0)]],
    ["that it is ready twice", [READY]],
  ])("%s is ended alone, and another one runs the next command", async (_what, frames) => {
    const launcher = await launcherWith({ lie: Buffer.concat([READY, ...frames]) });
    expect(await run(launcher, "echo never").ended).toEqual({ kind: "lost", message: expect.stringContaining("broke its protocol") });
    const next = run(launcher, "echo back");
    expect([await next.ended, next.text()]).toEqual([{ kind: "exit", code: 0 }, "back\n"]);
  });

  test("any bytes ends at most itself", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        // What is no whole frame yet is completed by zeros, and what is whole is followed by nonsense.
        const launcher = await launcherWith({ lie: Buffer.concat([READY, bytes, Buffer.alloc(140_000)]) });
        await run(launcher, "echo never").ended;
        await Promise.race([run(launcher, "true").ended, run(launcher, "true").ended]);
        expect(await run(launcher, "exit 3").ended).toEqual({ kind: "exit", code: 3 });
      }),
      { numRuns: 20 },
    );
  });
});

test("a process is known by what the kernel says of it, and not by the pid that a fork server tells", async () => {
  const honest = await launcherWith({});
  const real = run(honest, "exec sleep 300");
  const pid = await real.started;
  expect(real.process.identify()).toMatchObject({ pid });
  // A process of this very test: to journal it would mean to kill it after a restart.
  const launcher = await launcherWith({ lie: Buffer.concat([READY, frame(Event.STARTED, ID, u32(pid))]) });
  const claimed = run(launcher, "true");
  expect(await claimed.started).toBe(pid);
  expect(claimed.process.identify()).toBeUndefined();
});

describe("a fork server that can't be started", () => {
  test("is started again, and the command that waited for it runs once", async () => {
    const launcher = await launcherWith({ fail: 2 });
    const directory = await temporaryDirectory();
    const waited = run(launcher, `echo ran >>${directory}/ran; cat ${directory}/ran`);
    expect([await waited.ended, waited.text()]).toEqual([{ kind: "exit", code: 0 }, "ran\n"]);
  });

  test("leaves commands unavailable, never lost, until it can be started", async () => {
    const launcher = await launcherWith({ fail: 3 });
    expect(await run(launcher, "echo never").ended).toEqual({
      kind: "unavailable",
      message: "the fork server can't be started: the fork server ended (127)",
    });
    expect(await run(launcher, "exit 4").ended).toEqual({ kind: "exit", code: 4 });
  });

  test("because its program is gone is told by what is missing", async () => {
    const launcher = new KeeperLauncher({ keeper: "/nonexistent/keeper", zygote: "/nonexistent/zygote.so" });
    onTestFinished(() => launcher.close());
    expect(await run(launcher, "true").ended).toMatchObject({ kind: "unavailable", message: expect.stringContaining("ENOENT") });
  });
});

test("a fork server that stopped answering is killed with what it runs, so that no kill is waited for in vain", async () => {
  const launcher = await launcherWith({}, { patienceMs: 200 });
  const stuck = run(launcher, "sleep 300");
  const reaper = parentOf(await stuck.started);
  const server = parentOf(reaper);
  expect(childrenOf(process.pid)).toContain(server);
  process.kill(server, "SIGSTOP");
  stuck.process.signal("SIGKILL");
  expect((await stuck.ended).kind).toBe("lost");
  expect(await run(launcher, "exit 5").ended).toEqual({ kind: "exit", code: 5 });
});

function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}
