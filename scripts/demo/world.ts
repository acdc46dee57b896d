import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Leaf, type LeafEvent, type LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import { connect, type Dispatcher } from "../../clients/cli/dispatcher/call.ts";
import { type StackPaths, stackPaths } from "../../clients/cli/stack/paths.ts";
import { type StackProcess, stackProcesses } from "../../clients/cli/stack/processes.ts";
import type { StackInfo } from "./stack.ts";

/** No chapter that does not say so takes longer. */
const PATIENCE_MS = 25_000;
const POLL_MS = 10;
const TERMINAL: ReadonlySet<LeafState> = new Set([LeafState.DONE, LeafState.FAILED, LeafState.CANCELLED, LeafState.ABORTED]);

/** A leaf's event, with the time at which the client had it, milliseconds since the Unix epoch. */
export interface SeenEvent {
  readonly atMs: number;
  readonly event: LeafEvent;
}

/** A turn from its submission to its end. */
export interface Turn {
  readonly leaf: Leaf;
  readonly submittedAtMs: number;
  readonly endedAtMs: number;
  readonly events: readonly SeenEvent[];
}

/** How a turn is run. */
export interface TurnOptions {
  /** What the leaf is beyond its prompt. */
  readonly spec?: Omit<MessageInitShape<typeof LeafSpecSchema>, "$typeName" | "prompt">;
  /** Default 25000. */
  readonly patienceMs?: number;
  /** Sees each event as it comes. */
  readonly onEvent?: (event: LeafEvent) => void;
}

/** What the demo looks at: the public API, the model's own record of requests, and the operating system's processes. */
export class World {
  readonly info: StackInfo;
  readonly paths: StackPaths;
  readonly leaves: Dispatcher["leaves"];
  readonly schedules: Dispatcher["schedules"];
  readonly tokens: Dispatcher["tokens"];
  readonly sandboxes: Dispatcher["sandboxes"];
  readonly #dispatcher: Dispatcher;

  constructor(info: StackInfo) {
    this.info = info;
    this.paths = stackPaths(info.dir);
    this.#dispatcher = connect({ url: info.url, token: this.#token() });
    this.leaves = this.#dispatcher.leaves;
    this.schedules = this.#dispatcher.schedules;
    this.tokens = this.#dispatcher.tokens;
    this.sandboxes = this.#dispatcher.sandboxes;
  }

  close(): void {
    this.#dispatcher.close();
  }

  /** The stack's processes, as the operating system has them now. */
  processes(part?: string): StackProcess[] {
    return stackProcesses(this.paths).filter((process) => part === undefined || process.part === part);
  }

  /** Run a turn to its end. */
  async turn(prompt: string, { spec = {}, patienceMs = PATIENCE_MS, onEvent = () => undefined }: TurnOptions = {}): Promise<Turn> {
    const submittedAtMs = Date.now();
    const events: SeenEvent[] = [];
    let leaf: Leaf | undefined;
    for await (const message of this.leaves.run({ spec: { ...spec, prompt } }, { timeoutMs: patienceMs })) {
      leaf ??= message.leaf;
      if (message.event === undefined) continue;
      events.push({ atMs: Date.now(), event: message.event });
      onEvent(message.event);
    }
    const end = events.at(-1)?.event.event;
    if (leaf === undefined || end?.case !== "stateChanged" || !TERMINAL.has(end.value.state))
      throw new Error("the turn's stream broke off");
    if (end.value.failure !== undefined) throw new Error(`the turn failed: ${end.value.failure.message}`);
    return { leaf, submittedAtMs, endedAtMs: Date.now(), events };
  }

  /** When the model got its first request after `sinceMs`: by its own record, or by the brain's event if it is a real one. */
  async firstModelRequestMs(turn: Turn): Promise<number> {
    const model = this.info.processes.find(({ name }) => name === "model");
    if (model === undefined) return (find(turn, "modelCallStarted")?.atMs ?? Number.NaN) - turn.submittedAtMs;
    const requests = (await (await fetch(`${model.address}/requests`)).json()) as ReadonlyArray<{ at_ms: number }>;
    const first = requests.find(({ at_ms }) => at_ms >= turn.submittedAtMs);
    return (first?.at_ms ?? Number.NaN) - turn.submittedAtMs;
  }

  /** Post JSON to a path of the plain HTTP API, as the stack's owner. */
  async post(path: string, body: object): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token()}`, "content-type": "application/json" };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return await fetch(`${this.info.url}${path}`, { method: "POST", headers, body: JSON.stringify(body), signal });
  }

  /** Wait until a sandbox is there, or is not. */
  async untilThere(name: string, isThere: boolean): Promise<void> {
    await this.until(`the sandbox ${name} to be ${isThere ? "there" : "away"}`, async () => {
      const { sandboxes, nowMs } = await this.sandboxes.listSandboxes({});
      const found = sandboxes.find((each) => each.name === name);
      return (found !== undefined && found.aliveUntilMs > nowMs) === isThere ? true : undefined;
    });
  }

  /** Seconds that brains lived, as the dispatcher counts them, once it knows of none that lives. */
  async brainSeconds(): Promise<number> {
    return await this.until("the dispatcher to see the brain's end", async () => {
      const response = await fetch(`${this.info.url}/health`, { headers: { authorization: `Bearer ${this.#token()}` } });
      const health = (await response.json()) as { brains: readonly unknown[]; brainSeconds: number };
      return health.brains.length === 0 ? health.brainSeconds : undefined;
    });
  }

  /** Wait until `look` finds something, and return it. */
  async until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(POLL_MS)) {
      const found = await look();
      if (found !== undefined) return found;
    }
    throw new Error(`waited ${PATIENCE_MS / 1000} s in vain: ${what}`);
  }

  /** Wait until no brain lives; returns when that was, milliseconds since the Unix epoch. */
  async noBrain(): Promise<number> {
    return await this.until("the brain to go", () => (this.processes("brain").length === 0 ? Date.now() : undefined));
  }

  #token(): string {
    return readFileSync(this.paths.token, "utf8").trim();
  }
}

type EventCase = NonNullable<LeafEvent["event"]["case"]>;
type EventOf<C extends EventCase> = Extract<LeafEvent["event"], { case: C }>["value"];

/** A turn's first event of a kind. */
export function find<C extends EventCase>(turn: Turn, kind: C): { atMs: number; value: EventOf<C> } | undefined {
  return all(turn, kind)[0];
}

/** A turn's events of a kind. */
export function all<C extends EventCase>(turn: Turn, kind: C): Array<{ atMs: number; value: EventOf<C> }> {
  return turn.events.flatMap(({ atMs, event }) => (event.event.case === kind ? [{ atMs, value: event.event.value as EventOf<C> }] : []));
}

/** The brains that ran a turn, in order. */
export function workers(turn: Turn): Array<{ atMs: number; pid: number; pidNamespace: string }> {
  return all(turn, "stateChanged").flatMap(({ atMs, value: { worker } }) =>
    worker === undefined ? [] : [{ atMs, pid: Number(worker.pid), pidNamespace: worker.pidNamespace }],
  );
}

/** The text that a turn ended with. */
export function result(turn: Turn): string {
  return all(turn, "stateChanged").at(-1)?.value.result?.text ?? "";
}
