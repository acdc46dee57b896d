/** Inside the namespaces: starts the node's components, starts again what ends, and lets the outside in to the API server. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fullJitter } from "@serverless-harness/kit/backoff";
import { type Component, INSIDE } from "./components.ts";
import { childEnvironment } from "./config.ts";
import { API_PORT } from "./network.ts";

/** What is known of a component. */
export interface ComponentState {
  /** As it is called inside; undefined while it does not run. */
  readonly pid: number | undefined;
  /** How often it ended and was started again. */
  readonly restarts: number;
  /** How it ended the last time, in words. */
  readonly lastEnd: string | undefined;
}

const states: Record<string, ComponentState> = {};
const components = JSON.parse(readFileSync(join(INSIDE, "components.json"), "utf8")) as Component[];

mkdirSync(join(INSIDE, "logs"), { recursive: true });
// A socket in the state directory is the one way between the two networks.
createServer((outside) => {
  const api = connect(API_PORT, "127.0.0.1");
  outside.pipe(api).pipe(outside);
  // One end that breaks ends the other: the client sees its connection close, and says so.
  outside.on("error", () => api.destroy());
  api.on("error", () => outside.destroy());
}).listen(join(INSIDE, "api.sock"));

for (const component of components.filter(({ needsApi }) => !needsApi)) void supervise(component);
while (!(await apiAnswers())) await setTimeout(50);
for (const component of components.filter(({ needsApi }) => needsApi)) void supervise(component);

/** Keep a component running for as long as the namespaces live. */
async function supervise({ name, command }: Component): Promise<never> {
  const log = openSync(join(INSIDE, "logs", `${name}.log`), "a", 0o600);
  const [program = "", ...args] = command;
  for (let restarts = 0; ; restarts++) {
    const child = spawn(program, args, { stdio: ["ignore", log, log], env: childEnvironment({ HOME: INSIDE }) });
    record(name, { pid: child.pid, restarts, lastEnd: states[name]?.lastEnd });
    const lastEnd = await ended(child);
    record(name, { pid: undefined, restarts, lastEnd });
    await setTimeout(fullJitter(restarts + 1, 200, 3000));
  }
}

function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.on("error", (error) => resolve(`could not be started: ${error.message}`));
    child.on("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
}

/** Write what is known to where `status` reads it, whole at any time. */
function record(name: string, state: ComponentState): void {
  states[name] = state;
  writeFileSync(join(INSIDE, "states.json.new"), JSON.stringify(states));
  renameSync(join(INSIDE, "states.json.new"), join(INSIDE, "states.json"));
}

function apiAnswers(): Promise<boolean> {
  const ca = readFileSync(join(INSIDE, "pki", "ca.crt"));
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port: API_PORT, path: "/readyz", ca, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on("error", () => resolve(false));
  });
}
