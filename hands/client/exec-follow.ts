import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { codeName, HarnessError } from "@serverless-harness/kit/errors";
import {
  type Ended,
  type ExecEvent,
  type ExecSpec,
  ExecSpecSchema,
  type Gap,
  type Output,
  type Refused,
  Retain,
  type Started,
} from "@serverless-harness/proto/hands";
import type { Outgoing } from "./channel.ts";
import { InputQueue } from "./exec-input.ts";
import type { ExecHandle, ExecRequest, ExecUpdate } from "./types.ts";

/** Output bytes that hands may have on the way for one exec, and how many delivered ones are worth a message. */
const CREDIT_BYTES = 64 * 1024;
const GRANT_BYTES = 16 * 1024;

type Message = NonNullable<Outgoing["request"]>;

/** What a follow needs of its channel and its client. */
interface FollowOptions {
  readonly workspace: string;
  readonly epoch: bigint;
  readonly request: ExecRequest;
  readonly fromOffset: number;
  readonly onUpdate: (update: ExecUpdate) => void;
  /** Send on the channel as it stands; dropped if there is none just now. */
  readonly send: (message: Message) => void;
  /** Send, and have {@link Follow.confirm} called with at least the number that is returned once hands took it. */
  readonly sendConfirmed: (message: Message) => bigint;
  /** It is over: forget it. */
  readonly onOver: () => void;
  /** Make the call `ExecService.Signal`, again if it did not arrive. */
  readonly signal: (signal: { readonly name: string; readonly cancel: boolean }) => Promise<void>;
}

/** An exec that is followed over any number of channels: knows what was delivered, so that nothing is delivered twice or left out. */
export class Follow implements ExecHandle {
  readonly ended: Promise<Ended>;
  /** When it began to wait for hands, by `performance.now`. */
  readonly since = performance.now();
  readonly #options: FollowOptions;
  readonly #result = Promise.withResolvers<Ended>();
  readonly #accepted = Promise.withResolvers<void>();
  #isAccepted = false;
  #isOver = false;
  /** First byte not delivered yet. */
  #offset: number;
  /** Delivered bytes that no credit was given back for. */
  #ungranted = 0;
  readonly #input: InputQueue;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#offset = options.fromOffset;
    this.#input = new InputQueue(this.#name(), options.sendConfirmed);
    this.ended = this.#result.promise;
    // Nobody has to wait for it.
    this.ended.catch(() => undefined);
    this.#accepted.promise.catch(() => undefined);
  }

  get execId(): string {
    return this.#options.request.execId;
  }

  /** The message that asks hands for what is missing. Once hands has said that it started, this only attaches: if hands forgot the exec, a run would repeat the command. */
  opening(): Message {
    const { workspace, epoch, request } = this.#options;
    this.#input.stop();
    this.#ungranted = 0;
    const reading = { fromOffset: BigInt(this.#offset), initialCredit: BigInt(CREDIT_BYTES) };
    const spec = execSpec(workspace, epoch, request);
    if (!this.#isAccepted) return { case: "run", value: { spec, ...reading } };
    const capture = spec.capture === undefined ? {} : { capture: spec.capture };
    return { case: "attach", value: { execId: this.execId, workspace, epoch, ...reading, ...capture } };
  }

  /** Its channel broke. Input that was on its way may or may not have arrived: to send it again could double it. */
  interrupt(): void {
    if (!this.#input.isUnconfirmed) return;
    const message = `the connection broke while exec ${this.execId} was given input, so it is not known how much arrived; the exec goes on`;
    this.fail(new HarnessError(Code.Unavailable, "stdin_interrupted", message));
  }

  /** Hands took everything that was sent up to number `sent`. */
  confirm(sent: bigint): void {
    this.#input.confirm(sent);
  }

  /** Hands has room for this many more bytes of input. */
  allowInput(bytes: number): void {
    this.#input.allow(bytes);
  }

  /** Something happened to the exec. */
  take({ event }: ExecEvent): void {
    if (this.#isOver) return;
    if (event.case === "started") this.#takeStarted(event.value);
    else if (event.case === "output") this.#takeOutput(event.value);
    else if (event.case === "gap") this.#takeGap(event.value);
    else if (event.case === "refused") this.#takeRefused(event.value);
    else if (event.case === "ended") {
      this.#finish();
      this.#result.resolve(event.value);
    }
  }

  /** It can't be followed any longer. */
  fail(error: HarnessError): void {
    if (this.#isOver) return;
    this.#finish();
    this.#accepted.reject(error);
    this.#result.reject(error);
  }

  detach(): void {
    if (this.#isOver) return;
    this.#options.send({ case: "detach", value: this.#name() });
    this.fail(new HarnessError(Code.Canceled, "detached", `exec ${this.execId} is followed no longer; it goes on in the sandbox`));
  }

  cancel(): Promise<void> {
    return this.#signal({ name: "", cancel: true });
  }

  signal(name: NodeJS.Signals): Promise<void> {
    return this.#signal({ name, cancel: false });
  }

  writeStdin(data: Uint8Array): void {
    if (!this.#isOver) this.#input.write(data);
  }

  closeStdin(): void {
    if (!this.#isOver) this.#input.close();
  }

  async #signal(signal: { readonly name: string; readonly cancel: boolean }): Promise<void> {
    if (!this.#isOver) await this.#accepted.promise;
    await this.#options.signal(signal);
  }

  #takeStarted({ pid, startedAtMs, attached, silentMs }: Started): void {
    this.#input.start();
    if (this.#isAccepted) return;
    this.#isAccepted = true;
    this.#accepted.resolve();
    this.#deliver({ kind: "started", pid: Number(pid), startedAtMs: Number(startedAtMs), attached, silentMs: Number(silentMs) });
  }

  #takeOutput({ offset, stream, data }: Output): void {
    const known = this.#offset - Number(offset);
    const fresh = known > 0 ? data.subarray(known) : data;
    if (fresh.length > 0) {
      const at = this.#offset;
      this.#offset += fresh.length;
      this.#deliver({ kind: "output", offset: at, stream, data: fresh });
    }
    this.#ungranted += data.length;
    if (this.#ungranted < GRANT_BYTES || this.#isOver) return;
    this.#options.send({ case: "credit", value: { ...this.#name(), bytes: BigInt(this.#ungranted) } });
    this.#ungranted = 0;
  }

  #takeGap({ fromOffset, toOffset, reason }: Gap): void {
    const from = Math.max(Number(fromOffset), this.#offset);
    const to = Number(toOffset);
    if (to <= from) return;
    this.#offset = to;
    this.#deliver({ kind: "gap", from, to, reason });
  }

  #takeRefused({ code, reason, message }: Refused): void {
    // Hands stops: the next one is asked.
    if (reason === "draining") return;
    this.fail(new HarnessError(codeOf(code), reason, message));
  }

  #deliver(update: ExecUpdate): void {
    try {
      this.#options.onUpdate(update);
    } catch (error) {
      this.#options.send({ case: "detach", value: this.#name() });
      this.fail(new HarnessError(Code.Internal, "update_failed", "whoever follows the exec failed to take an update", { cause: error }));
    }
  }

  #finish(): void {
    this.#isOver = true;
    this.#input.clear();
    this.#accepted.resolve();
    this.#options.onOver();
  }

  #name(): { execId: string; workspace: string } {
    return { execId: this.execId, workspace: this.#options.workspace };
  }
}

function codeOf(name: string): Code {
  const codes = Object.values(Code).filter((code): code is Code => typeof code === "number");
  return codes.find((code) => codeName(code).toUpperCase() === name) ?? Code.Unknown;
}

/** A request in the form that hands takes. */
function execSpec(workspace: string, epoch: bigint, request: ExecRequest): ExecSpec {
  const { command, capture } = request;
  return create(ExecSpecSchema, {
    execId: request.execId,
    workspace,
    epoch,
    command: "shell" in command ? { case: "shell", value: command.shell } : { case: "argv", value: { args: [...command.argv] } },
    cwd: request.cwd ?? "",
    env: { ...request.env },
    clearEnv: request.clearEnv ?? false,
    stdinOpen: request.stdinOpen ?? false,
    timeoutMs: milliseconds(request.timeoutMs),
    noOutputTimeoutMs: milliseconds(request.noOutputTimeoutMs),
    killGraceMs: milliseconds(request.killGraceMs),
    ...(capture === undefined
      ? {}
      : {
          capture: {
            maxBytes: BigInt(capture.maxBytes),
            maxLines: BigInt(capture.maxLines),
            retain: capture.retain === "head" ? Retain.HEAD : Retain.TAIL,
            spill: capture.spill ?? false,
          },
        }),
  });
}

/** Whole milliseconds; a time that is not 0 never becomes 0, which would mean none. */
function milliseconds(value: number | undefined): bigint {
  return BigInt(Math.ceil(value ?? 0));
}
