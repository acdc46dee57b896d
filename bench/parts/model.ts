import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { RequestRecord } from "@serverless-harness/kit/stand-in-model/request-log";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { childEnvironment } from "../config.ts";

/** The stand-in model server, as a process of its own. */
export interface ModelProcess {
  readonly url: string;
  readonly pid: number;
  /** The last thousand requests that it saw, oldest first. */
  requests(): Promise<readonly RequestRecord[]>;
  /** SIGTERM; resolves to the exit code. Idempotent. */
  stop(): Promise<number | null>;
}

/** Start it on a free port. */
export async function startModelProcess(): Promise<ModelProcess> {
  const child = spawn(process.execPath, [bundleOf("model")], { env: childEnvironment(COMPILED), stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const url = await firstUrl(child);
  const { pid } = child;
  if (pid === undefined) throw new Error("the model server could not be started");
  return {
    url,
    pid,
    requests: async () => (await (await fetch(`${url}/requests`)).json()) as RequestRecord[],
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
      return child.exitCode;
    },
  };
}

async function firstUrl({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error("the model server's output is not read");
  const lines = createInterface({ input: stdout });
  const [line] = await Promise.race([once(lines, "line"), once(lines, "close")]);
  if (line === undefined) throw new Error("the model server ended before it listened");
  return JSON.parse(line).url;
}
