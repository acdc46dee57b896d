import { type Address, formatAddress } from "@serverless-harness/kit/address";
import { type Server, serve } from "@serverless-harness/kit/serve";
import { followTlsFiles, loadServerTls, type ServerTlsFiles } from "@serverless-harness/kit/tls";
import { guarded } from "../door/guard.ts";
import type { DoorRules } from "../door/rules.ts";
import { type ScalerDependencies, scalerRoutes } from "./routes.ts";

/** Where the external scaler is served. */
export interface ScalerConfig {
  readonly listen: Address;
  /** Absent: without TLS, as KEDA calls by default. */
  readonly tls: ServerTlsFiles | undefined;
}

/** Serve KEDA's external scaler on a port of its own, if one is set: it asks for no token, and tells numbers alone. */
export async function serveScaler(
  config: ScalerConfig | undefined,
  deps: ScalerDependencies & { readonly door: DoorRules },
): Promise<Pick<Server, "close"> | undefined> {
  if (config === undefined) return undefined;
  const { listen, tls } = config;
  const { door, log } = deps;
  const server = await serve({
    address: listen,
    log,
    around: guarded(door, listen, log),
    routes: scalerRoutes(deps),
    ...(tls === undefined ? {} : { tls: loadServerTls(tls) }),
  });
  const unfollow = tls === undefined ? undefined : followTlsFiles(tls, server, log);
  log.info({ address: formatAddress(server.address) }, "the external scaler is served");
  return {
    close: (graceMs) => {
      unfollow?.();
      return server.close(graceMs);
    },
  };
}
