import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code } from "@connectrpc/connect";
import { fromConnectError, HarnessError } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import type {
  Terminal,
  TerminalEnded,
  TerminalService,
  TerminalServiceAttachRequestSchema,
  TerminalServiceAttachResponse,
} from "@serverless-harness/proto/hands";
import { Outbox } from "./channel.ts";
import { backoffMs, clientClosed, mayComeBack, sandboxUnavailable } from "./retry.ts";
import type { TerminalHandle, TerminalUpdate } from "./types.ts";

/** What a watcher needs. */
interface TerminalFollowOptions {
  readonly client: Client<typeof TerminalService>;
  readonly terminalId: string;
  readonly workspace: string;
  readonly epoch: bigint;
  readonly fromOffset: number;
  readonly onUpdate: (update: TerminalUpdate) => void;
  /** How long it goes on while hands can't be reached, in milliseconds. */
  readonly patienceMs: number;
  /** Its client was closed. */
  readonly closed: AbortSignal;
}

/** A terminal that is watched over any number of streams: knows what was delivered and typed, so that neither happens twice. */
export class TerminalFollow implements TerminalHandle {
  readonly ended: Promise<TerminalEnded>;
  readonly #options: TerminalFollowOptions;
  readonly #result = Promise.withResolvers<TerminalEnded>();
  readonly #over = new AbortController();
  readonly #input = new TerminalInput();
  /** First byte not delivered yet. */
  #offset: number;
  /** As it was when it was first seen. */
  #terminal: Terminal | undefined;
  #size = "";

  constructor(options: TerminalFollowOptions) {
    this.#options = options;
    this.#offset = options.fromOffset;
    this.ended = this.#result.promise;
    // Nobody has to wait for it.
    this.ended.catch(() => undefined);
    void this.#keepOpen();
  }

  get terminalId(): string {
    return this.#options.terminalId;
  }

  write(data: Uint8Array): void {
    this.#input.write(data);
  }

  resize(columns: number, rows: number): void {
    this.#input.resize(columns, rows);
  }

  detach(): void {
    this.#fail(new HarnessError(Code.Canceled, "detached", `terminal ${this.terminalId} is watched no longer; it goes on in the sandbox`));
  }

  async #keepOpen(): Promise<void> {
    const { closed, patienceMs } = this.#options;
    const stop = AbortSignal.any([closed, this.#over.signal]);
    let silentSince = performance.now();
    for (let attempt = 1; !stop.aborted; attempt++) {
      const { heard, error } = await this.#open(stop);
      if (heard) {
        attempt = 1;
        silentSince = performance.now();
      }
      if (error !== undefined && !mayComeBack(error, heard)) this.#fail(error);
      else if (performance.now() - silentSince >= patienceMs) this.#fail(sandboxUnavailable(patienceMs, error));
      await sleep(backoffMs(attempt), undefined, { signal: stop }).catch(() => undefined);
    }
    if (closed.aborted) this.#fail(clientClosed());
  }

  /** One stream, from its begin to its end. */
  async #open(signal: AbortSignal): Promise<{ heard: boolean; error: HarnessError | undefined }> {
    const { client, terminalId, workspace, epoch } = this.#options;
    const outbox = new Outbox<Outgoing>();
    let heard = false;
    outbox.send({ request: { case: "target", value: { terminalId, workspace, epoch, fromOffset: BigInt(this.#offset) } } });
    try {
      for await (const response of client.attach(outbox, { signal })) {
        // One without content says that hands lives.
        if (response.event.case === undefined) continue;
        if (!heard) this.#input.over((message) => outbox.send(message));
        heard = true;
        this.#take(response);
      }
      return { heard, error: undefined };
    } catch (error) {
      return { heard, error: fromConnectError(error) };
    } finally {
      this.#input.over(undefined);
      outbox.end();
    }
  }

  #take({ event }: TerminalServiceAttachResponse): void {
    if (this.#over.signal.aborted) return;
    if (event.case === "terminal") this.#takeTerminal(event.value);
    else if (event.case === "output") this.#takeOutput(Number(event.value.offset), event.value.data);
    else if (event.case === "gap") this.#takeGap(Number(event.value.fromOffset), Number(event.value.toOffset));
    else if (event.case === "resized") this.#takeSize(event.value);
    else if (event.case === "taken") this.#input.confirm(event.value.inputId);
    else if (event.case === "ended") {
      this.#over.abort();
      this.#result.resolve(event.value);
    }
  }

  #takeTerminal(terminal: Terminal): void {
    const before = this.#terminal;
    if (before === undefined) {
      this.#terminal = terminal;
      this.#size = sizeOf(terminal);
      this.#offset = Math.min(this.#offset, Number(terminal.totalBytes));
      this.#deliver({ kind: "attached", terminal });
    } else if (before.startedAtMs !== terminal.startedAtMs || before.pid !== terminal.pid) {
      const message = `the terminal that was watched as ${this.terminalId} is gone, and another one has its id`;
      this.#fail(new HarnessError(Code.NotFound, "unknown_terminal", message));
    } else this.#takeSize(terminal);
  }

  #takeOutput(offset: number, data: Uint8Array): void {
    const fresh = data.subarray(Math.max(0, this.#offset - offset));
    if (fresh.length === 0) return;
    const at = this.#offset;
    this.#offset += fresh.length;
    this.#deliver({ kind: "output", offset: at, data: fresh });
  }

  #takeGap(fromOffset: number, to: number): void {
    const from = Math.max(fromOffset, this.#offset);
    if (to <= from) return;
    this.#offset = to;
    this.#deliver({ kind: "gap", from, to });
  }

  #takeSize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    if (this.#size === sizeOf({ columns, rows })) return;
    this.#size = sizeOf({ columns, rows });
    this.#deliver({ kind: "resized", columns, rows });
  }

  #deliver(update: TerminalUpdate): void {
    try {
      this.#options.onUpdate(update);
    } catch (error) {
      this.#fail(
        new HarnessError(Code.Internal, "update_failed", "whoever watches the terminal failed to take an update", { cause: error }),
      );
    }
  }

  #fail(error: HarnessError): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#result.reject(error);
  }
}

function sizeOf({ columns, rows }: { readonly columns: number; readonly rows: number }): string {
  return `${columns}x${rows}`;
}

/** A message of a watcher, as it is written down. */
type Outgoing = MessageInitShape<typeof TerminalServiceAttachRequestSchema>;

type Input =
  | { readonly case: "data"; readonly value: Uint8Array }
  | { readonly case: "resize"; readonly value: { columns: number; rows: number } };

/** Bytes in one message; hands takes no more. */
const PIECE_BYTES = 64 * 1024;
/** Messages that may be on their way; hands remembers 1000 ids, and other watchers have some of them. */
const MOST_UNCONFIRMED = 200;

/** What a watcher typed and hands has not confirmed, in order. On another stream it is sent again under the same ids. */
class TerminalInput {
  readonly #prefix = newId("in");
  readonly #waiting: Array<{ readonly id: string; readonly input: Input }> = [];
  #count = 0;
  /** How many of those that wait were put on the stream as it stands. */
  #sent = 0;
  #send: ((message: Outgoing) => void) | undefined;

  write(data: Uint8Array): void {
    for (let start = 0; start < data.length; start += PIECE_BYTES) {
      // A copy: the caller may use its buffer again before this is confirmed.
      this.#add({ case: "data", value: data.slice(start, start + PIECE_BYTES) });
    }
  }

  resize(columns: number, rows: number): void {
    this.#add({ case: "resize", value: { columns, rows } });
  }

  /** A stream is open: everything that is not confirmed goes over it. `undefined`: it is over. */
  over(send: ((message: Outgoing) => void) | undefined): void {
    this.#send = send;
    this.#sent = 0;
    this.#flush();
  }

  /** Hands took this one and all before it. */
  confirm(id: string): void {
    const index = this.#waiting.findIndex((waiting) => waiting.id === id);
    this.#waiting.splice(0, index + 1);
    this.#sent = Math.max(0, this.#sent - (index + 1));
    this.#flush();
  }

  #add(input: Input): void {
    this.#waiting.push({ id: `${this.#prefix}.${++this.#count}`, input });
    this.#flush();
  }

  #flush(): void {
    while (this.#send !== undefined && this.#sent < MOST_UNCONFIRMED) {
      const next = this.#waiting[this.#sent];
      if (next === undefined) return;
      this.#sent++;
      this.#send({ request: { case: "act", value: { inputId: next.id, input: next.input } } });
    }
  }
}
