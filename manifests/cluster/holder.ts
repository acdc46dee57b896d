/**
 * The one process of the test cluster outside of its namespaces: while it lives the cluster does. It forwards a port of 127.0.0.1 to the API server.
 *   node holder.ts STATE
 * SIGTERM: take the cluster down, then end. Killed without notice, it takes the cluster with it; `down` removes its directories then.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { processStartTicks } from "@serverless-harness/kit/proc";
import { makeGroups, processesIn, removeGroups } from "./cgroups.ts";
import { childEnvironment } from "./config.ts";
import { NODE_ADDRESS, NODE_NAME, POD_NETWORK, POLICY_QUEUE } from "./network.ts";

/** What others need to find the cluster; `holder.json` in the state directory. */
export interface Holder {
  readonly pid: number;
  readonly startTicks: string;
  /** Of 127.0.0.1. */
  readonly port: number;
  /** The process that has unshared the namespaces; its only child is the first inside. */
  readonly unsharer: number;
  readonly startedAt: string;
}

const [state = ""] = process.argv.slice(2);
const groups = JSON.parse(readFileSync(join(state, "groups.json"), "utf8")) as string[];
makeGroups(groups);

const here = import.meta.dirname;
const node = [join(here, "node.sh"), state, process.execPath, NODE_ADDRESS, POD_NETWORK, String(POLICY_QUEUE), NODE_NAME];
// setpriv: the kernel kills it when this process ends, however that ends. That outlives an exec, not a fork, hence --kill-child in enter.sh.
const child = spawn("setpriv", ["--pdeathsig", "KILL", "sh", join(here, "enter.sh"), ...groups, "--", "sh", ...node], {
  stdio: ["ignore", "inherit", "inherit"],
  env: childEnvironment(),
});
const gone = new Promise<void>((resolve) => child.on("exit", () => resolve()).on("error", () => resolve()));

const server = createServer((outside) => {
  const inside = connect(join(state, "api.sock"));
  outside.pipe(inside).pipe(outside);
  outside.on("error", () => inside.destroy());
  inside.on("error", () => outside.destroy());
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  const holder: Holder = {
    pid: process.pid,
    startTicks: processStartTicks(process.pid) ?? "",
    port,
    unsharer: child.pid ?? 0,
    startedAt: new Date().toISOString(),
  };
  writeFileSync(join(state, "holder.json"), JSON.stringify(holder));
});

process.once("SIGTERM", () => child.kill("SIGKILL"));
await gone;
// The kernel ends the processes of a namespace one by one after its first; a group can't be removed before its last has left.
while (processesIn(groups).length > 0) await setTimeout(20);
removeGroups(groups);
process.exit(0);
