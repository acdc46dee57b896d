import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type {
  AttachRequest,
  ChannelRequest,
  ChannelResponseSchema,
  CloseStdin,
  Credit,
  RunRequest,
  SignalRequest,
  StdinData,
} from "@serverless-harness/proto/hands";
import type { Execs } from "../exec/execs.ts";
import { readCapture } from "../exec/output-capture.ts";
import { assertNames, validateAttach, validateRun, validateSignal } from "../exec/validate.ts";
import { refusedEvent, refusedMessage, Subscription } from "./subscription.ts";

type Response = MessageInitShape<typeof ChannelResponseSchema>;

const MAX_SUBSCRIPTIONS = 1000;
const MAX_STDIN_BYTES = 1024 * 1024;
/** Answers that may wait for the client before no more is read from it. */
const MAX_WAITING = 1000;

interface ChannelOptions {
  readonly execs: Execs;
  readonly log: Logger;
}

/**
 * One client's stream. What is sent is asked for, not pushed: answers first, then one piece of each exec in turn, so that a flood in
 * one exec delays the others by one piece at most, and a client that does not read costs nothing but its cursors.
 */
class Channel {
  readonly #options: ChannelOptions;
  readonly #waiting: Response[] = [];
  readonly #subscriptions = new Map<string, Subscription>();
  /** Those that may have something to send, the longest waiting first. */
  readonly #ready = new Set<Subscription>();
  #news = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();
  #isInputOver = false;
  #failure: unknown;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** Answer a client's messages until it has left, or it has sent its last and got all it asked for. */
  async *serve(requests: AsyncIterable<ChannelRequest>, signal: AbortSignal): AsyncGenerator<Response> {
    const wake = (): void => this.#news.resolve();
    signal.addEventListener("abort", wake, { once: true });
    void this.#read(requests);
    try {
      while (!signal.aborted) {
        this.#news = Promise.withResolvers<void>();
        const response = this.#next();
        if (response !== undefined) yield response;
        else if (this.#failure !== undefined) throw this.#failure;
        else if (this.#isInputOver && this.#subscriptions.size === 0) return;
        else await this.#news.promise;
      }
    } finally {
      signal.removeEventListener("abort", wake);
      for (const subscription of this.#subscriptions.values()) subscription.close();
      this.#subscriptions.clear();
      this.#room.resolve();
    }
  }

  /** Tell the client that hands stops; the stream ends when everything that it follows has ended. */
  goAway(message: string): void {
    this.#answer({ response: { case: "goAway", value: { message } } });
    this.#isInputOver = true;
  }

  async #read(requests: AsyncIterable<ChannelRequest>): Promise<void> {
    try {
      for await (const request of requests) {
        this.#take(request);
        while (this.#waiting.length > MAX_WAITING) await this.#room.promise;
      }
      this.#isInputOver = true;
    } catch (error) {
      this.#failure = error;
    }
    this.#news.resolve();
  }

  #next(): Response | undefined {
    const answer = this.#waiting.shift();
    if (answer !== undefined) {
      this.#room.resolve();
      this.#room = Promise.withResolvers<void>();
      return answer;
    }
    for (const subscription of this.#ready) {
      this.#ready.delete(subscription);
      const event = subscription.poll();
      if (event !== undefined && !subscription.done) this.#ready.add(subscription);
      if (subscription.done) this.#forget(subscription);
      if (event !== undefined) return { response: { case: "event", value: event } };
    }
    return undefined;
  }

  #take(message: ChannelRequest): void {
    assertNames(message);
    const { request } = message;
    if (request.case === "run") this.#run(request.value);
    else if (request.case === "attach") this.#attach(request.value);
    else if (request.case === "stdin") this.#stdin(request.value);
    else if (request.case === "closeStdin") this.#closeStdin(request.value);
    else if (request.case === "signal") this.#signal(request.value);
    else if (request.case === "credit") this.#credit(request.value);
    else if (request.case === "detach") this.#detach(request.value.execId, request.value.workspace);
    else if (request.case === "ping") this.#answer({ response: { case: "pong", value: { nonce: request.value.nonce } } });
    else throw invalidArgument([{ field: "request", description: "exactly one kind of request is required" }]);
  }

  #run(request: RunRequest): void {
    const { execId = "", workspace = "", epoch = 0n } = request.spec ?? {};
    this.#subscribe({ execId, workspace, epoch }, request, async (subscription) => {
      const spec = validateRun(request);
      const { exec, attached } = await this.#options.execs.run(spec);
      subscription.follow(exec, spec.capture === undefined ? undefined : readCapture(spec.capture), attached);
      if (spec.stdinOpen) await this.#offerInput(subscription);
    });
  }

  #attach(request: AttachRequest): void {
    const { execId, workspace, epoch } = request;
    this.#subscribe({ execId, workspace, epoch }, request, async (subscription) => {
      validateAttach(request);
      const exec = await this.#options.execs.findOwned(workspace, execId, epoch);
      subscription.follow(exec, request.capture === undefined ? exec.intent.capture : readCapture(request.capture), true);
      await this.#offerInput(subscription);
    });
  }

  /** A second request for the same exec takes the place of the first subscription. */
  #subscribe(
    named: { readonly execId: string; readonly workspace: string; readonly epoch: bigint },
    reading: { readonly fromOffset: bigint; readonly initialCredit: bigint },
    open: (subscription: Subscription) => Promise<void>,
  ): void {
    const before = this.#subscriptions.get(named.execId);
    const refusal = before !== undefined && before.workspace !== named.workspace ? idInUse(named.execId) : this.#limitReached();
    if (refusal !== undefined) {
      this.#answer({ response: { case: "event", value: refusedEvent(named.execId, refusal) } });
      return;
    }
    before?.close();
    const subscription: Subscription = new Subscription({
      ...named,
      fromOffset: Number(reading.fromOffset),
      initialCredit: Number(reading.initialCredit),
      wake: () => {
        this.#ready.add(subscription);
        this.#news.resolve();
      },
    });
    this.#subscriptions.set(named.execId, subscription);
    subscription.enqueue(() => open(subscription));
  }

  #stdin({ execId, workspace, data }: StdinData): void {
    if (data.length > MAX_STDIN_BYTES)
      throw invalidArgument([{ field: "stdin.data", description: `must be at most ${MAX_STDIN_BYTES} bytes` }]);
    const { execs } = this.#options;
    const subscription = this.#followed(execId, workspace);
    subscription?.enqueueInput(data.length, execs.stdinBytes, async () =>
      (await execs.ownRun(workspace, execId, subscription.epoch))?.writeStdin(data, subscription.giver),
    );
  }

  /** Tell the client how much input the command may be given, and go on to tell it as the command reads. */
  async #offerInput(subscription: Subscription): Promise<void> {
    const { execId, workspace, epoch } = subscription;
    const run = await this.#options.execs.ownRun(workspace, execId, epoch);
    if (run === undefined || subscription.done) return;
    subscription.giver = run.stdin.join((bytes) =>
      this.#answer({ response: { case: "stdinCredit", value: { execId, workspace, bytes: BigInt(bytes) } } }),
    );
  }

  #closeStdin({ execId, workspace }: CloseStdin): void {
    const subscription = this.#followed(execId, workspace);
    const { execs } = this.#options;
    subscription?.enqueueInput(0, execs.stdinBytes, async () => (await execs.ownRun(workspace, execId, subscription.epoch))?.closeStdin());
  }

  #signal(request: SignalRequest): void {
    const { execId, workspace, epoch } = request;
    const carryOut = async (): Promise<void> => {
      try {
        const name = validateSignal(request);
        if (request.cancel) await this.#options.execs.cancel(workspace, execId, epoch);
        else await this.#options.execs.signal(workspace, execId, epoch, name);
        this.#answer({ response: { case: "signalResult", value: { execId } } });
      } catch (error) {
        this.#answer({ response: { case: "signalResult", value: { execId, refused: refusedMessage(error) } } });
      }
    };
    const subscription = this.#subscriptions.get(execId);
    // It is answered even if the subscription was refused meanwhile: the client waits for it.
    if (subscription?.workspace === workspace) subscription.enqueueAlways(carryOut);
    else void carryOut();
  }

  #credit({ execId, workspace, bytes }: Credit): void {
    if (bytes <= 0n) throw invalidArgument([{ field: "credit.bytes", description: "must be above 0" }]);
    const subscription = this.#subscriptions.get(execId);
    if (subscription?.workspace === workspace) subscription.addCredit(Number(bytes));
  }

  #detach(execId: string, workspace: string): void {
    const subscription = this.#subscriptions.get(execId);
    if (subscription?.workspace === workspace) this.#forget(subscription);
  }

  /** The subscription that input is for. Without one the client is told: input is never dropped in silence. */
  #followed(execId: string, workspace: string): Subscription | undefined {
    const subscription = this.#subscriptions.get(execId);
    if (subscription?.workspace === workspace) return subscription;
    const error = new HarnessError(Code.NotFound, "unknown_exec", `exec ${execId} is not followed on this channel: run or attach first`);
    this.#answer({ response: { case: "event", value: refusedEvent(execId, error) } });
    return undefined;
  }

  #forget(subscription: Subscription): void {
    subscription.close();
    this.#ready.delete(subscription);
    if (this.#subscriptions.get(subscription.execId) === subscription) this.#subscriptions.delete(subscription.execId);
  }

  #answer(response: Response): void {
    this.#waiting.push(response);
    this.#news.resolve();
  }

  #limitReached(): HarnessError | undefined {
    if (this.#subscriptions.size < MAX_SUBSCRIPTIONS) return undefined;
    const message = `${MAX_SUBSCRIPTIONS} execs are followed on this channel, its limit: detach from some, or open another`;
    return new HarnessError(Code.ResourceExhausted, "limit_reached", message, { metadata: { limit: "channel_execs" } });
  }
}

function idInUse(execId: string): HarnessError {
  return new HarnessError(
    Code.AlreadyExists,
    "id_in_use",
    `this channel follows an exec ${execId} of another workspace: use one channel for each`,
  );
}

/** Every channel that is open, so that all can be told when hands stops. */
export class Channels {
  readonly #options: ChannelOptions;
  readonly #open = new Set<Channel>();

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#open.size;
  }

  async *serve(requests: AsyncIterable<ChannelRequest>, signal: AbortSignal): ReturnType<Channel["serve"]> {
    const channel = new Channel(this.#options);
    this.#open.add(channel);
    try {
      yield* channel.serve(requests, signal);
    } finally {
      this.#open.delete(channel);
    }
  }

  /** Hands stops: it takes no new execs. */
  goAway(): void {
    for (const channel of this.#open) channel.goAway("hands is stopping: it starts nothing new");
  }
}
