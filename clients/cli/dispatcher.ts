import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { ERROR_DOMAIN } from "@serverless-harness/kit/errors";
import { createTransport } from "@serverless-harness/kit/transport";
import { ErrorInfoSchema } from "@serverless-harness/proto/error";
import { LeafService, ScheduleService, TokenService, WebhookService } from "@serverless-harness/proto/leaf";
import type { Context } from "./context.ts";
import { addressOf, type DispatcherAddress, findDispatcher } from "./dispatcher-address.ts";

/** A connection to the dispatcher. */
export interface Dispatcher {
  readonly leaves: Client<typeof LeafService>;
  readonly schedules: Client<typeof ScheduleService>;
  readonly tokens: Client<typeof TokenService>;
  readonly webhooks: Client<typeof WebhookService>;
  close(): void;
}

/** Connect to the dispatcher that {@link findDispatcher} finds. */
export function openDispatcher(context: Context): Dispatcher {
  return connect(findDispatcher(context));
}

/** Connect to a dispatcher; the connection is made with the first call. */
export function connect({ url, token }: DispatcherAddress): Dispatcher {
  const transport = createTransport({ address: addressOf(url), ...(token === "" ? {} : { token }) });
  return {
    leaves: createClient(LeafService, transport),
    schedules: createClient(ScheduleService, transport),
    tokens: createClient(TokenService, transport),
    webhooks: createClient(WebhookService, transport),
    close: () => transport.close(),
  };
}

/** Call the dispatcher once, about leaves. */
export function withDispatcher<T>(context: Context, work: (leaves: Dispatcher["leaves"]) => Promise<T>): Promise<T> {
  return called(context, ({ leaves }) => work(leaves));
}

/** Call the dispatcher once, about schedules. */
export function withSchedules<T>(context: Context, work: (schedules: Dispatcher["schedules"]) => Promise<T>): Promise<T> {
  return called(context, ({ schedules }) => work(schedules));
}

/** Call the dispatcher once, about tokens. */
export function withTokens<T>(context: Context, work: (tokens: Dispatcher["tokens"]) => Promise<T>): Promise<T> {
  return called(context, ({ tokens }) => work(tokens));
}

/** Call the dispatcher once, about webhooks. */
export function withWebhooks<T>(context: Context, work: (webhooks: Dispatcher["webhooks"]) => Promise<T>): Promise<T> {
  return called(context, ({ webhooks }) => work(webhooks));
}

async function called<T>(context: Context, work: (dispatcher: Dispatcher) => Promise<T>): Promise<T> {
  const dispatcher = openDispatcher(context);
  try {
    return await work(dispatcher);
  } catch (error) {
    if (error instanceof ConnectError && !isOfHarness(error)) await requireDispatcher(context);
    throw error;
  } finally {
    dispatcher.close();
  }
}

/** The dispatcher itself says so, as opposed to whatever lies on the way to it. */
function isOfHarness(error: ConnectError): boolean {
  return error.findDetails(ErrorInfoSchema).some(({ domain }) => domain === ERROR_DOMAIN);
}

/** A call that failed says little where something else was asked: throws where that is so. */
async function requireDispatcher(context: Context): Promise<void> {
  const { readHealth } = await import("./dispatcher-health.ts");
  await readHealth(findDispatcher(context));
}
