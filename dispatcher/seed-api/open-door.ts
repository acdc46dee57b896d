import { isInNetwork, type Network, parseNetwork } from "@serverless-harness/kit/address-ranges";
import type { PlainRequest } from "@serverless-harness/kit/serve";
import { type Caller, SCOPES } from "../callers/caller.ts";
import type { SeedApiSettings } from "./settings.ts";

const LOOPBACK: readonly Network[] = ["127.0.0.0/8", "::1/128"].flatMap((text) => parseNetwork(text) ?? []);
const LOCAL_HOST = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i;
/** Who sends one of these is a browser, on behalf of any page that it shows. */
const OF_BROWSERS = ["origin", "sec-fetch-site"] as const;
/** A proxy sends one of these: the address that it comes from is not the caller's. */
const OF_PROXIES = ["forwarded", "x-forwarded-for"] as const;

/** Whoever calls without a token, as the seed's clients do: everything of one tenant but its tokens. */
export const SEED_CLIENT: Caller = {
  kind: "seed",
  tenant: "default",
  subject: "",
  scopes: new Set(SCOPES.filter((scope) => scope !== "admin")),
};

/**
 * A call may do without a token: the seed's clients have none. It has to come from a network that the operator named or, where none is named, from this
 * machine itself. A page in a browser never may, by whatever name it reached us.
 */
export function needsNoToken({ headers, socket }: PlainRequest, { compat, openNetworks }: SeedApiSettings): boolean {
  if (!compat || OF_BROWSERS.some((name) => headers[name] !== undefined)) return false;
  const address = socket.remoteAddress ?? "";
  if (openNetworks !== undefined) return openNetworks.some((network) => isInNetwork(address, network));
  const host = headers[":authority"] ?? headers.host ?? "";
  const direct = OF_PROXIES.every((name) => headers[name] === undefined);
  return direct && LOCAL_HOST.test(String(host)) && LOOPBACK.some((network) => isInNetwork(address, network));
}
