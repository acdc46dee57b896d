import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService, ScheduleService } from "@serverless-harness/proto/leaf";
import { onTestFinished } from "vitest";
import { SCRIPTED_BRAIN, TOKEN } from "./support.ts";

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** Start the dispatcher as an operator does. It is killed when the test ends. */
export function launch(env: Readonly<Record<string, string>>): {
  child: ChildProcess;
  exited: Promise<Exit>;
  line: (part: string) => Promise<string>;
} {
  const child = spawn(process.execPath, [bundleOf("dispatcher")], {
    env: { PATH: process.env["PATH"], ...COMPILED, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => endWithBrains(child));
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  const exited = new Promise<Exit>((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stderr })));
  const seen: string[] = [];
  let look = (): void => undefined;
  createInterface(child.stdout).on("line", (text) => {
    seen.push(text);
    look();
  });
  const line = (part: string): Promise<string> =>
    new Promise((resolve, reject) => {
      look = () => {
        const found = seen.find((text) => text.includes(part));
        if (found !== undefined) resolve(found);
      };
      look();
      void exited.then((exit) => reject(new Error(`it ended without the line "${part}": ${JSON.stringify(exit)}`)));
    });
  return { child, exited, line };
}

/** Kill a dispatcher and the brains that it has started, which write where the test's files are. Resolves when they are gone. */
async function endWithBrains(dispatcher: ChildProcess): Promise<void> {
  const { pid, exitCode, signalCode } = dispatcher;
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  // Stopped, it starts no brain that is not among its children.
  dispatcher.kill("SIGSTOP");
  await untilIn(pid, "TZ-");
  const brains = stateOf(pid) === "T" ? readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").map(Number) : [];
  for (const brain of brains.filter((each) => each > 0)) process.kill(brain, "SIGKILL");
  dispatcher.kill("SIGKILL");
  for (const each of [pid, ...brains]) await untilIn(each, "Z-");
}

async function untilIn(pid: number, states: string): Promise<void> {
  while (!states.includes(stateOf(pid))) await new Promise((resolve) => setImmediate(resolve));
}

/** The letter for the state of a process, `-` if there is none. */
function stateOf(pid: number): string {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "-";
  } catch {
    return "-";
  }
}

/** A dispatcher that listens, with a client of it; brains are scripted ones. */
export async function runDispatcher(
  store: { readonly url: string; readonly directory: string },
  env: Readonly<Record<string, string>> = {},
) {
  const tokenFile = join(store.directory, "token");
  await writeFile(tokenFile, TOKEN);
  const { child, exited, line } = launch({
    LEAF_STORE: store.url,
    DISPATCHER_LISTEN: "http://127.0.0.1:0",
    DISPATCHER_TOKEN_FILE: tokenFile,
    DISPATCHER_BRAIN_COMMAND: JSON.stringify([process.execPath, SCRIPTED_BRAIN]),
    ...env,
  });
  const { address: text }: { address: string } = JSON.parse(await line("dispatcher listens"));
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`it listens on ${text}`);
  const transport = createTransport({ address, token: TOKEN });
  onTestFinished(() => transport.close());
  const health = async (): Promise<Record<string, unknown>> =>
    JSON.parse(await (await fetch(`${text}/health`, { headers: { authorization: `Bearer ${TOKEN}`, connection: "close" } })).text());
  return {
    child,
    exited,
    line,
    origin: text,
    leaves: createClient(LeafService, transport),
    schedules: createClient(ScheduleService, transport),
    health,
  };
}
