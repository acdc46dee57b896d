import type { ExecEvent, SignalResult } from "@serverless-harness/proto/hands";
import { RawChannel } from "../fixtures/raw-channel.ts";
import { EPOCH, type Sandbox, spec, WORKSPACE } from "../fixtures/sandbox.ts";
import type { ModelExec } from "./model.ts";

/** One thing that a client does. `n` is read by each as it likes. */
export interface Step {
  readonly what: "run" | "attach" | "detach" | "credit" | "stdin" | "closeStdin" | "signal" | "cancel" | "reuse" | "cut" | "settle";
  readonly exec: number;
  readonly n: number;
}

/** Sends what steps ask for over a channel, and checks all that comes against the model. */
export class Driver {
  readonly #sandbox: Pick<Sandbox, "client">;
  readonly #execs: ReadonlyMap<string, ModelExec>;
  #channel: RawChannel;
  #pump: Promise<void>;
  #pongs = new Map<bigint, () => void>();
  #nonce = 0n;
  /** Refusals that have to come because an id was used again, by exec. */
  readonly #reuses = new Map<string, number>();
  #failure: unknown;
  #news = Promise.withResolvers<void>();

  constructor(sandbox: Pick<Sandbox, "client">, execs: readonly ModelExec[]) {
    this.#sandbox = sandbox;
    this.#execs = new Map(execs.map((exec) => [exec.spec.execId, exec]));
    this.#channel = new RawChannel(sandbox);
    this.#pump = this.#read(this.#channel);
  }

  /** Do a step, or nothing where it makes no sense as things stand. */
  async take({ what, n }: Step, exec: ModelExec): Promise<void> {
    const named = { execId: exec.spec.execId, workspace: WORKSPACE };
    if (what === "settle") return this.settle();
    if (what === "cut") return this.cut();
    await this.until(() => exec.reading.state !== "opening");
    const { reading } = exec;
    if (what === "run") this.run(exec, 1 + n, 0);
    else if (!exec.wasAsked) return;
    else if (what === "attach") this.attach(exec, n % (reading.next + 1), 1 + n);
    else if (what === "reuse" && exec.wasSeen) await this.#reuse(exec);
    else if (what === "signal" || what === "cancel") await this.#end(exec, what);
    else if (reading.state !== "open") return;
    else if (what === "credit") this.#credit(exec, 1 + n);
    else if (what === "stdin") this.#give(exec, n % 2000);
    else if (what === "closeStdin" && exec.kind === "read") await this.closeStdin(exec);
    else if (what === "detach") {
      this.#channel.send({ case: "detach", value: named });
      await this.settle();
      exec.close();
    }
  }

  run(exec: ModelExec, initialCredit: number, fromOffset: number): void {
    exec.open(fromOffset, initialCredit);
    this.#channel.send({
      case: "run",
      value: { spec: exec.spec, initialCredit: BigInt(initialCredit), fromOffset: BigInt(fromOffset) },
    });
  }

  attach(exec: ModelExec, fromOffset: number, initialCredit: number): void {
    const { execId } = exec.spec;
    exec.open(fromOffset, initialCredit);
    const value = { execId, workspace: WORKSPACE, epoch: EPOCH, fromOffset: BigInt(fromOffset), initialCredit: BigInt(initialCredit) };
    this.#channel.send({ case: "attach", value });
  }

  /** Cut the channel without a word, and open another. */
  async cut(): Promise<void> {
    this.#channel.cut();
    await this.#pump;
    this.#check();
    for (const exec of this.#execs.values()) {
      exec.close();
      if (exec.unconfirmed.length > 0) exec.isInputOver = true;
      exec.maybeGiven.push(...exec.unconfirmed.splice(0));
    }
    this.#reuses.clear();
    this.#channel = new RawChannel(this.#sandbox);
    this.#pump = this.#read(this.#channel);
  }

  /** Wait until hands has taken all that was sent. */
  async settle(): Promise<void> {
    const unconfirmed = [...this.#execs.values()].map((exec) => [exec, exec.unconfirmed.length] as const);
    await this.#ping();
    for (const [exec, count] of unconfirmed) exec.given.push(...exec.unconfirmed.splice(0, count));
  }

  /** Wait until `holds`, asked at whatever comes. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      this.#news = Promise.withResolvers<void>();
      await this.#news.promise;
      this.#check();
    }
  }

  async closeStdin(exec: ModelExec): Promise<void> {
    exec.isInputOver = true;
    this.#channel.send({ case: "closeStdin", value: { execId: exec.spec.execId, workspace: WORKSPACE } });
    await this.settle();
  }

  /** End an exec in any case. */
  async cancel(exec: ModelExec): Promise<void> {
    exec.sent.cancel = true;
    await this.#sandbox.client.signal({ execId: exec.spec.execId, workspace: WORKSPACE, epoch: EPOCH, cancel: true });
  }

  async stop(): Promise<void> {
    this.#channel.cut();
    await this.#pump;
    this.#check();
  }

  async #end(exec: ModelExec, what: "signal" | "cancel"): Promise<void> {
    exec.sent[what] = true;
    exec.isInputOver = true;
    const value = { execId: exec.spec.execId, workspace: WORKSPACE, epoch: EPOCH, signal: "SIGTERM", cancel: what === "cancel" };
    this.#channel.send({ case: "signal", value });
    await this.settle();
  }

  #credit(exec: ModelExec, bytes: number): void {
    exec.reading.credit += bytes;
    this.#channel.send({ case: "credit", value: { execId: exec.spec.execId, workspace: WORKSPACE, bytes: BigInt(bytes) } });
  }

  #give(exec: ModelExec, size: number): void {
    if (exec.kind !== "read" || exec.isInputOver || exec.room === 0) return;
    const text = exec.nextInput(size);
    exec.unconfirmed.push(text);
    this.#channel.send({ case: "stdin", value: { execId: exec.spec.execId, workspace: WORKSPACE, data: Buffer.from(text) } });
  }

  /** Another command under the same id: it is refused, and the exec is what it was. */
  async #reuse(exec: ModelExec): Promise<void> {
    const { execId } = exec.spec;
    this.#reuses.set(execId, (this.#reuses.get(execId) ?? 0) + 1);
    this.#channel.send({ case: "run", value: { spec: spec(`touch reused.${execId}`, { execId }) } });
    this.#channel.send({ case: "closeStdin", value: { execId, workspace: WORKSPACE } });
    await this.until(() => this.#reuses.get(execId) === 0);
    await this.settle();
    exec.close();
  }

  async #ping(): Promise<void> {
    const nonce = ++this.#nonce;
    let isBack = false;
    this.#pongs.set(nonce, () => {
      isBack = true;
    });
    this.#channel.send({ case: "ping", value: { nonce } });
    await this.until(() => isBack);
  }

  async #read(channel: RawChannel): Promise<void> {
    const wasCut = (): boolean => channel.isCut;
    try {
      for (let response = await channel.next(); response !== undefined; response = await channel.next()) {
        if (wasCut()) return;
        if (response.case === "event") this.#event(response.value);
        else if (response.case === "stdinCredit") this.#room(response.value.execId, Number(response.value.bytes));
        else if (response.case === "pong") this.#pongs.get(response.value.nonce)?.();
        else if (response.case === "signalResult") this.#signalled(response.value);
        else throw new Error(`${response.case} came`);
        this.#news.resolve();
      }
      if (!wasCut()) throw new Error("the channel ended");
    } catch (error) {
      if (!wasCut()) this.#failure ??= error;
    }
    this.#news.resolve();
  }

  #room(execId: string, bytes: number): void {
    const exec = this.#execs.get(execId);
    if (exec !== undefined) exec.room += bytes;
  }

  #event({ execId, event }: ExecEvent): void {
    const exec = this.#execs.get(execId);
    if (exec === undefined) throw new Error(`an event of ${execId}, which nobody asked for`);
    if (event.case === "started") exec.started();
    else if (event.case === "output") exec.output(Number(event.value.offset), event.value.stream, event.value.data);
    else if (event.case === "ended") {
      const { cause, exitCode, signal, totalBytes, totalLines } = event.value;
      exec.ends.add(JSON.stringify({ cause, exitCode, signal, totalBytes: Number(totalBytes), totalLines: Number(totalLines) }));
      if (exec.reading.next !== Number(totalBytes)) throw new Error(`${execId} ended at byte ${exec.reading.next} of ${totalBytes}`);
      if (exec.reading.state === "open") exec.close();
    } else if (event.case === "refused") this.#refused(exec, event.value.reason);
    else throw new Error(`${execId}: ${event.case} came`);
  }

  #refused(exec: ModelExec, reason: string): void {
    const { execId } = exec.spec;
    const reuses = this.#reuses.get(execId) ?? 0;
    if (reason === "id_reused" && reuses > 0) this.#reuses.set(execId, reuses - 1);
    else if (reason !== "unknown_exec") throw new Error(`${execId} was refused: ${reason}`);
    // Else it is input that crossed the end, or that was behind a refused run.
    else if (exec.reading.state === "opening") this.#assertNeverRan(exec);
  }

  #signalled({ execId, refused }: SignalResult): void {
    const exec = this.#execs.get(execId);
    if (refused?.reason === "unknown_exec" && exec !== undefined) this.#assertNeverRan(exec);
    else if (refused !== undefined) throw new Error(`a signal to ${execId} was refused: ${refused.reason}`);
  }

  /** It is unknown, as it may be where a cut overtook its run. */
  #assertNeverRan(exec: ModelExec): void {
    if (exec.wasSeen) throw new Error(`${exec.marker} is forgotten`);
    exec.close();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
