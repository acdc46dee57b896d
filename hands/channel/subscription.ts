import { create } from "@bufbuild/protobuf";
import { codeName, HarnessError, toConnectError } from "@serverless-harness/kit/errors";
import { type ExecEvent, ExecEventSchema, type Refused, RefusedSchema } from "@serverless-harness/proto/hands";
import type { Exec } from "../exec/exec.ts";
import { Follower } from "../exec/follower.ts";
import { assertStdinFits, type StdinGiver } from "../exec/stdin.ts";
import type { CaptureRecord } from "../journal/record.ts";

/** Credit of a reader that names none, in bytes. */
const DEFAULT_CREDIT_BYTES = 1024 * 1024;

/** Longest text of a refusal, in characters: it may quote what the client sent, and waits until the client reads. */
const MAX_MESSAGE = 4000;

export interface SubscriptionOptions {
  readonly execId: string;
  readonly workspace: string;
  readonly epoch: bigint;
  readonly fromOffset: number;
  /** Output bytes that may be sent at first. 0: the default. */
  readonly initialCredit: number;
  /** It may have something to send. */
  readonly wake: () => void;
}

/** One exec on one channel: what is sent of it, and what is done to it, in the order in which the client asked. */
export class Subscription {
  /** Its part in the exec's input, if it has one. */
  giver: StdinGiver | undefined;
  readonly #options: SubscriptionOptions;
  /** The exec is the one that the client asked for, so input is for it. */
  #takesInput = false;
  /** Input that waits for what was asked before, in bytes. */
  #queuedInput = 0;
  #credit: number;
  #follower: Follower | undefined;
  #refused: ExecEvent | undefined;
  #isClosed = false;
  #order: Promise<unknown> = Promise.resolve();

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#credit = options.initialCredit || DEFAULT_CREDIT_BYTES;
  }

  get execId(): string {
    return this.#options.execId;
  }

  get workspace(): string {
    return this.#options.workspace;
  }

  get epoch(): bigint {
    return this.#options.epoch;
  }

  /** Its last event was sent, or it was given up. */
  get done(): boolean {
    return this.#isClosed || this.#follower?.done === true;
  }

  /** Nothing more is done for it: after input that was refused, no more may be taken. */
  get #isOver(): boolean {
    return this.#isClosed || this.#refused !== undefined;
  }

  /** Do `action` after everything that was asked before. Its error refuses the subscription. */
  enqueue(action: () => Promise<void>): void {
    this.#order = this.#order.then(() => (this.#isOver ? undefined : action())).catch((error: unknown) => this.refuse(error));
  }

  /**
   * As {@link enqueue}, for an action that holds `bytes` of input. It is done even if the subscription was closed
   * meanwhile: the client may have got the answer to a later ping. No more than `limitBytes` are held. After input
   * that was refused none is taken.
   */
  enqueueInput(bytes: number, limitBytes: number, action: () => Promise<void>): void {
    const held = this.#queuedInput + bytes;
    const take = async (): Promise<void> => {
      if (!this.#takesInput) return;
      this.#queuedInput -= bytes;
      await action();
    };
    const fits = held <= limitBytes;
    if (fits) this.#queuedInput = held;
    this.#order = this.#order
      .then(fits ? take : () => assertStdinFits(this.execId, held, limitBytes))
      .catch((error: unknown) => this.refuse(error));
  }

  /** Do `action`, which must not throw, after everything that was asked before, whatever became of the subscription. */
  enqueueAlways(action: () => Promise<void>): void {
    this.#order = this.#order.then(action);
  }

  /** Follow the exec that the request turned out to mean. */
  follow(exec: Exec, capture: CaptureRecord | undefined, attached: boolean): void {
    this.#takesInput = true;
    if (this.#isClosed) return;
    const { fromOffset, wake } = this.#options;
    this.#follower = new Follower(exec, { fromOffset, capture, attached, credit: this.#credit, wake });
    wake();
  }

  /** Tell the client that it gets nothing, or nothing more. */
  refuse(error: unknown): void {
    this.#takesInput = false;
    if (this.#isOver) return;
    this.#refused = refusedEvent(this.execId, error);
    this.#options.wake();
  }

  addCredit(bytes: number): void {
    this.#credit += bytes;
    this.#follower?.addCredit(bytes);
  }

  /** The next event to send, if there is one. */
  poll(): ExecEvent | undefined {
    if (this.#isClosed) return undefined;
    if (this.#refused !== undefined) {
      this.close();
      return this.#refused;
    }
    try {
      return this.#follower?.poll();
    } catch (error) {
      this.close();
      return refusedEvent(this.execId, error);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.giver?.leave();
    this.#follower?.close();
  }
}

export function refusedEvent(execId: string, error: unknown): ExecEvent {
  return create(ExecEventSchema, { execId, event: { case: "refused", value: refusedMessage(error) } });
}

/** A refusal as clients get it. What is no error of the domain tells them nothing. */
export function refusedMessage(error: unknown): Refused {
  const { code, reason, message } = domainError(error);
  return create(RefusedSchema, { code: codeName(code).toUpperCase(), reason, message: message.slice(0, MAX_MESSAGE) });
}

function domainError(error: unknown): Pick<HarnessError, "code" | "reason" | "message"> {
  const { code, rawMessage } = toConnectError(error);
  return { code, reason: error instanceof HarnessError ? error.reason : codeName(code), message: rawMessage };
}
