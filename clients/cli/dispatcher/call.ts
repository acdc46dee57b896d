import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { ERROR_DOMAIN, fromConnectError, type HarnessError } from "@serverless-harness/kit/errors";
import { createTransport } from "@serverless-harness/kit/transport";
import { ErrorInfoSchema } from "@serverless-harness/proto/error";
import { LeafService, SandboxService, ScheduleService, TokenService, WebhookService } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { addressOf, type DispatcherAddress, findDispatcher } from "./address.ts";
import { readHealth } from "./http.ts";

const EXIT_CODES: Readonly<Partial<Record<Code, ExitCode>>> = {
  [Code.InvalidArgument]: ExitCode.usage,
  [Code.OutOfRange]: ExitCode.usage,
  [Code.Unimplemented]: ExitCode.usage,
  [Code.Unauthenticated]: ExitCode.unauthorised,
  [Code.PermissionDenied]: ExitCode.unauthorised,
  [Code.NotFound]: ExitCode.notFound,
  [Code.DeadlineExceeded]: ExitCode.timeout,
  [Code.Unavailable]: ExitCode.notRunning,
  [Code.AlreadyExists]: ExitCode.refused,
  [Code.FailedPrecondition]: ExitCode.refused,
  [Code.ResourceExhausted]: ExitCode.refused,
  [Code.Aborted]: ExitCode.refused,
};

/** A connection to the dispatcher. */
export interface Dispatcher {
  readonly leaves: Client<typeof LeafService>;
  readonly schedules: Client<typeof ScheduleService>;
  readonly tokens: Client<typeof TokenService>;
  readonly webhooks: Client<typeof WebhookService>;
  readonly sandboxes: Client<typeof SandboxService>;
  close(): void;
}

/** Connect to the dispatcher that {@link findDispatcher} finds. */
export function openDispatcher(context: Context): Dispatcher {
  return connect(findDispatcher(context));
}

/** Connect to a dispatcher; the connection is made with the first call. `ca`: PEM of its authorities, instead of the system's. */
export function connect({ url, token }: DispatcherAddress, ca?: string): Dispatcher {
  const transport = createTransport({
    address: addressOf(url),
    ...(token === "" ? {} : { token }),
    ...(ca === undefined ? {} : { tls: { ca } }),
  });
  return {
    leaves: createClient(LeafService, transport),
    schedules: createClient(ScheduleService, transport),
    tokens: createClient(TokenService, transport),
    webhooks: createClient(WebhookService, transport),
    sandboxes: createClient(SandboxService, transport),
    close: () => transport.close(),
  };
}

/** Connect to the dispatcher for `work` alone. */
export async function withDispatcher<T>(context: Context, work: (dispatcher: Dispatcher) => Promise<T>): Promise<T> {
  const dispatcher = openDispatcher(context);
  try {
    return await work(dispatcher);
  } catch (error) {
    // A failed call says little if something else than a dispatcher answered: this throws if so.
    if (error instanceof ConnectError && !isFromDispatcher(error)) await readHealth(findDispatcher(context));
    throw error;
  } finally {
    dispatcher.close();
  }
}

/** The dispatcher itself sent the error, as opposed to whatever lies on the way to it. */
function isFromDispatcher(error: ConnectError): boolean {
  return error.findDetails(ErrorInfoSchema).some(({ domain }) => domain === ERROR_DOMAIN);
}

/** What a call threw, as the error that ends the command. An error that we don't know is a defect, shown without its stack. */
export function callError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const known = fromConnectError(error);
  const exitCode = EXIT_CODES[known.code];
  if (exitCode !== undefined) return new CliError(exitCode, known.reason, oneLine(known, exitCode), error);
  const message = error instanceof Error ? error.message : String(error);
  return new CliError(ExitCode.defect, "defect", `${firstLine(message)}: see \`leaf logs\`, this is a defect`, error);
}

/** The service's own words, with what to do if they don't say it. */
function oneLine(error: HarnessError, exitCode: ExitCode): string {
  const message = firstLine(error.message);
  switch (exitCode) {
    case ExitCode.unauthorised:
      return `the dispatcher refused the token: ${message}; set LEAF_TOKEN to its token (the state directory's goes to its own stack only)`;
    case ExitCode.notRunning:
      // A dispatcher that answers is there, and gives a reason of its own.
      if (error.reason !== "unavailable") return `the dispatcher can't do this now: ${message}`;
      return `can't reach the dispatcher: ${message}; see \`leaf status\`, start it with \`leaf up\``;
    default:
      return message;
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
