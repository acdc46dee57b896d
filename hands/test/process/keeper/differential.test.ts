import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stream } from "@serverless-harness/proto/hands";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keeperFiles } from "../../../process/keeper/files.ts";
import { KeeperLauncher } from "../../../process/keeper/launcher.ts";
import type { ProcessEnd } from "../../../process/launcher.ts";
import { type Behaviour, behaviours } from "./behaviours.ts";

interface Observed {
  readonly stdout: string;
  readonly stderr: string;
  readonly end: ProcessEnd;
}

const ENV = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/tmp", LANG: "C.UTF-8" };
let launcher: KeeperLauncher;
let cwd: string;

beforeAll(() => {
  launcher = new KeeperLauncher(keeperFiles());
  cwd = mkdtempSync(join(tmpdir(), "keeper-test-"));
});
afterAll(async () => {
  await launcher.close();
  rmSync(cwd, { recursive: true });
});

describe("a command run by the keeper behaves as a fresh bash -c when it", () => {
  it.each(behaviours.map((behaviour) => [behaviour.name, behaviour] as const))("%s", async (_name, behaviour) => {
    const ours = await runByKeeper(behaviour);
    const theirs = await runBySpawn(behaviour);
    expect(ours).toEqual(theirs);
  });

  it("has more than sixty ways to differ", () => {
    expect(behaviours.length).toBeGreaterThan(60);
  });
});

function runByKeeper(behaviour: Behaviour): Promise<Observed> {
  return new Promise((resolve) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const process = launcher.start(
      {
        workspace: { name: "t/s", path: cwd },
        command: { shell: behaviour.shell },
        cwd,
        env: { ...ENV, ...behaviour.env },
        stdin: behaviour.stdin !== undefined,
      },
      {
        started: () => undefined,
        output: (stream, data) => (stream === Stream.STDOUT ? out : err).push(data),
        inputTaken: () => undefined,
        ended: (end) => resolve(observed(out, err, end)),
      },
    );
    if (behaviour.stdin !== undefined) {
      process.write(Buffer.from(behaviour.stdin));
      process.closeStdin();
    }
  });
}

async function runBySpawn(behaviour: Behaviour): Promise<Observed> {
  const child = spawn("/bin/bash", ["-c", behaviour.shell], {
    cwd,
    env: { ...ENV, ...behaviour.env },
    argv0: "bash",
    detached: true,
    stdio: [behaviour.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (data: Buffer) => out.push(data));
  child.stderr?.on("data", (data: Buffer) => err.push(data));
  // A command that doesn't read its input breaks the pipe; that is no error of the test.
  child.stdin?.on("error", () => undefined).end(behaviour.stdin);
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return observed(out, err, signal === null ? { kind: "exit", code: code ?? -1 } : { kind: "signal", signal });
}

function observed(out: Buffer[], err: Buffer[], end: ProcessEnd): Observed {
  // bash names the pid of a killed child, padded to five digits.
  const stderr = Buffer.concat(err)
    .toString("latin1")
    .replace(/(line \d+:) +\d+ /g, "$1 PID ");
  return { stdout: Buffer.concat(out).toString("latin1"), stderr, end };
}
