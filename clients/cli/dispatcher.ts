import { type Client, createClient } from "@connectrpc/connect";
import { type Address, parseAddress } from "@serverless-harness/kit/address";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService } from "@serverless-harness/proto/leaf";
import type { Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";
import { readText } from "./stack/log-file.ts";
import { liveRecord } from "./stack/record.ts";
import { checkLayout } from "./stack/state-directory.ts";

/** A connection to the dispatcher. */
export interface Dispatcher {
  readonly leaves: Client<typeof LeafService>;
  close(): void;
}

/** Where the dispatcher is, and the token that it wants. */
export interface DispatcherAddress {
  /** `http://host:port` or `unix:/path`. */
  readonly url: string;
  readonly token: string;
}

/**
 * Find the dispatcher: `LEAF_URL`, else the one that runs from the state directory. Throws where nothing runs there, since a
 * connection that is refused would tell less.
 */
export function findDispatcher({ config, paths }: Context): DispatcherAddress {
  const token = config.token ?? readText(paths.token) ?? "";
  if (config.url !== undefined) {
    addressOf(config.url);
    return { url: config.url, token };
  }
  checkLayout(paths);
  const record = liveRecord(paths, "dispatcher");
  if (record !== undefined && record.address !== "") return { url: record.address, token };
  throw new CliError(ExitCode.notRunning, "not_running", `nothing is running in ${paths.dir}: start it with \`leaf up\``);
}

/** Connect to the dispatcher that {@link findDispatcher} finds. */
export function openDispatcher(context: Context): Dispatcher {
  return connect(findDispatcher(context));
}

/** Connect to a dispatcher; the connection is made with the first call. */
export function connect({ url, token }: DispatcherAddress): Dispatcher {
  const transport = createTransport({ address: addressOf(url), ...(token === "" ? {} : { token }) });
  return { leaves: createClient(LeafService, transport), close: () => transport.close() };
}

/** Read an address of a dispatcher; throws where it is none. */
export function addressOf(url: string): Address {
  const address = parseAddress(url);
  if (address !== undefined) return address;
  throw new CliError(ExitCode.usage, "bad_url", `${JSON.stringify(url)} is no dispatcher's address: write http://host:port or unix:/path`);
}

/** Call the dispatcher once. */
export async function withDispatcher<T>(context: Context, work: (leaves: Dispatcher["leaves"]) => Promise<T>): Promise<T> {
  const dispatcher = openDispatcher(context);
  try {
    return await work(dispatcher.leaves);
  } finally {
    dispatcher.close();
  }
}
