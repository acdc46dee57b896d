import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { fromConnectError, type HarnessError } from "@serverless-harness/kit/errors";
import type { ChannelRequestSchema, ChannelResponse, ExecService } from "@serverless-harness/proto/hands";
import type { Follow } from "./exec-follow.ts";
import { backoffMs, clientClosed, mayComeBack, sandboxUnavailable } from "./retry.ts";

interface ChannelOptions {
  readonly client: Client<typeof ExecService>;
  /** How long an exec is kept while hands can't be reached, in milliseconds. */
  readonly patienceMs: number;
  /** How often hands is asked whether it lives, and how long its answer may take, in milliseconds. */
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** How long a channel without execs stays open, in milliseconds. */
  readonly idleMs: number;
  /** The other end does not answer any more: cut the connection. */
  readonly onDead: () => void;
  /** It follows nothing and is not open: it can be forgotten. */
  readonly onIdle: () => void;
}

/**
 * A stream to hands that is opened when an exec is followed, and again whenever it breaks: every exec then goes on from the first byte
 * that was not delivered.
 */
export class ClientChannel {
  readonly #options: ChannelOptions;
  readonly #follows = new Map<string, Follow>();
  readonly #closed = new AbortController();
  #outbox: Outbox | undefined;
  #isRunning = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #nonce = 0n;
  /** Since when hands was not heard of; `undefined` while it is. */
  #silentSince: number | undefined;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** It follows an exec of this id already. */
  has(execId: string): boolean {
    return this.#follows.has(execId);
  }

  follow(follow: Follow): void {
    if (this.#closed.signal.aborted) {
      follow.fail(clientClosed());
      return;
    }
    clearTimeout(this.#idleTimer);
    this.#follows.set(follow.execId, follow);
    if (this.#outbox !== undefined) this.#outbox.send({ request: follow.opening() });
    else if (!this.#isRunning) void this.#keepOpen();
  }

  /** Follow an exec no longer. */
  forget(follow: Follow): void {
    if (this.#follows.get(follow.execId) === follow) this.#follows.delete(follow.execId);
    if (this.#follows.size > 0) return;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#outbox?.end(), this.#options.idleMs).unref();
  }

  send(message: NonNullable<Outgoing["request"]>): void {
    this.#outbox?.send({ request: message });
  }

  /** Send, and ask for a pong after it: the number of the ping is returned, and confirmed to every exec. */
  sendConfirmed(message: NonNullable<Outgoing["request"]>): bigint {
    this.#outbox?.send({ request: message });
    return this.#ping();
  }

  /** Every exec is left alone. */
  close(): void {
    this.#closed.abort();
    for (const follow of this.#follows.values()) follow.fail(clientClosed());
  }

  async #keepOpen(): Promise<void> {
    this.#isRunning = true;
    for (let attempt = 1; this.#follows.size > 0 && !this.#closed.signal.aborted; attempt++) {
      const { heard, error } = await this.#open();
      if (heard) attempt = 1;
      this.#silentSince ??= performance.now();
      if (error !== undefined && !mayComeBack(error, heard)) this.#failAll(error);
      this.#failImpatient(error);
      if (this.#follows.size > 0) await sleep(backoffMs(attempt), undefined, { signal: this.#closed.signal }).catch(() => undefined);
    }
    this.#isRunning = false;
    if (this.#follows.size === 0) this.#options.onIdle();
  }

  /** One stream, from its begin to its end. */
  async #open(): Promise<{ heard: boolean; error: HarnessError | undefined }> {
    const outbox = new Outbox();
    const cut = new AbortController();
    let heard = false;
    this.#outbox = outbox;
    for (const follow of this.#follows.values()) outbox.send({ request: follow.opening() });
    const watch = this.#watch(cut);
    try {
      const signal = AbortSignal.any([cut.signal, this.#closed.signal]);
      for await (const response of this.#options.client.channel(outbox, { signal })) {
        heard = true;
        this.#silentSince = undefined;
        watch.heard();
        this.#take(response);
      }
      return { heard, error: undefined };
    } catch (error) {
      return { heard, error: fromConnectError(error) };
    } finally {
      this.#outbox = undefined;
      watch.stop();
      outbox.end();
      for (const follow of this.#follows.values()) follow.interrupt();
    }
  }

  /** Ask now and then whether hands lives; if it does not answer, cut the stream and the connection under it. */
  #watch(cut: AbortController): { heard: () => void; stop: () => void } {
    const { pingIntervalMs, pingTimeoutMs, onDead } = this.#options;
    let heardAt = performance.now();
    let askedAt: number | undefined;
    const ask = (): void => {
      const now = performance.now();
      if (askedAt !== undefined && heardAt < askedAt && now - askedAt >= pingTimeoutMs) {
        cut.abort();
        onDead();
      } else if (askedAt === undefined || (heardAt >= askedAt && now - heardAt >= pingIntervalMs)) {
        askedAt = now;
        this.#ping();
      }
    };
    ask();
    const timer = setInterval(ask, Math.min(pingIntervalMs, pingTimeoutMs) / 2).unref();
    return {
      heard: () => {
        heardAt = performance.now();
      },
      stop: () => clearInterval(timer),
    };
  }

  #ping(): bigint {
    this.#nonce += 1n;
    this.#outbox?.send({ request: { case: "ping", value: { nonce: this.#nonce } } });
    return this.#nonce;
  }

  #take({ response }: ChannelResponse): void {
    if (response.case === "pong") for (const follow of this.#follows.values()) follow.confirm(response.value.nonce);
    if (response.case === "stdinCredit") this.#follows.get(response.value.execId)?.allowInput(Number(response.value.bytes));
    if (response.case === "event") this.#follows.get(response.value.execId)?.take(response.value);
  }

  #failAll(error: HarnessError): void {
    for (const follow of this.#follows.values()) follow.fail(error);
  }

  /** Give up those that have waited for as long as they may. */
  #failImpatient(cause: unknown): void {
    const { patienceMs } = this.#options;
    const now = performance.now();
    for (const follow of this.#follows.values()) {
      const waited = now - Math.max(follow.since, this.#silentSince ?? now);
      if (waited >= patienceMs) follow.fail(sandboxUnavailable(patienceMs, cause));
    }
  }
}

/** A message to hands, as it is written down. */
export type Outgoing = MessageInitShape<typeof ChannelRequestSchema>;

/** What a stream is about to send, in order. One reader: the stream. */
export class Outbox<Message = Outgoing> implements AsyncIterable<Message> {
  readonly #waiting: Message[] = [];
  #news = Promise.withResolvers<void>();
  #isOver = false;

  send(message: Message): void {
    this.#waiting.push(message);
    this.#news.resolve();
  }

  /** Send nothing after what waits. */
  end(): void {
    this.#isOver = true;
    this.#news.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) yield message;
      else if (this.#isOver) return;
      else {
        this.#news = Promise.withResolvers<void>();
        await this.#news.promise;
      }
    }
  }
}
