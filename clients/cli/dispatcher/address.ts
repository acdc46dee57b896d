import { type Address, formatAddress, parseAddress } from "@serverless-harness/kit/address";
import type { Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { readText } from "../stack/log-file.ts";
import { liveRecord, readLife } from "../stack/record.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { gaveUpText } from "../view/stack-text.ts";

/** Where the dispatcher is, and the token that it wants. */
export interface DispatcherAddress {
  /** `http://host:port`, `https://host:port` or `unix:/path`. */
  readonly url: string;
  /** Empty: we know none that belongs to it. */
  readonly token: string;
}

/**
 * Find the dispatcher: `LEAF_URL`, else the one that runs from the state directory. The state directory's token goes to
 * that one only, however it was found. Throws if nothing runs there: a refused connection would say less.
 */
export function findDispatcher({ config, paths }: Context): DispatcherAddress {
  const record = liveRecord(paths, "dispatcher");
  const local = record === undefined || record.address === "" ? undefined : record.address;
  const own = (): string => config.token ?? readText(paths.token) ?? "";
  if (config.url !== undefined) {
    const address = formatAddress(addressOf(config.url));
    const isLocal = local !== undefined && formatAddress(addressOf(local)) === address;
    return { url: config.url, token: isLocal ? own() : (config.token ?? "") };
  }
  checkLayout(paths);
  if (local !== undefined) return { url: local, token: own() };
  const life = readLife(paths, "dispatcher");
  if (life?.gaveUp === true) {
    const message = `${gaveUpText("dispatcher", life)}: see \`leaf logs dispatcher\`, mend it, then \`leaf up\``;
    throw new CliError(ExitCode.notRunning, "gave_up", message);
  }
  throw new CliError(ExitCode.notRunning, "not_running", `nothing is running in ${paths.dir}: start it with \`leaf up\``);
}

/** Read a dispatcher's address; throws if it is none. */
export function addressOf(url: string): Address {
  const address = parseAddress(url);
  if (address !== undefined) return address;
  throw new CliError(
    ExitCode.usage,
    "bad_url",
    `${JSON.stringify(url)} is no dispatcher's address: write http://host:port, https://host:port or unix:/path`,
  );
}
