import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import type { Address } from "@serverless-harness/kit/address";
import { bearerToken } from "@serverless-harness/kit/bearer";
import { ConfigError } from "@serverless-harness/kit/env";
import { requireOperation } from "@serverless-harness/kit/hands-claims";
import { TokenVerifier } from "@serverless-harness/kit/hands-token";
import type { HealthState } from "@serverless-harness/kit/health";
import { keepAlive } from "@serverless-harness/kit/keep-alive";
import type { Logger } from "@serverless-harness/kit/log";
import type { Metrics } from "@serverless-harness/kit/metrics";
import { probes, serveProbes } from "@serverless-harness/kit/probes";
import { type Server, serve } from "@serverless-harness/kit/serve";
import { followTlsFiles, loadClientTls, loadServerTls } from "@serverless-harness/kit/tls";
import { Relays } from "@serverless-harness/kit/tunnel/relays";
import { ENCODERS } from "../channel/encode.ts";
import type { HandsConfig } from "../config.ts";
import type { RelayConfig } from "../relay.ts";
import { SERVICES } from "../routes.ts";
import { authenticate } from "../rpc/auth.ts";
import type { Workspaces } from "../workspaces/workspaces.ts";

export interface ListenersOptions {
  readonly config: Pick<HandsConfig, "listen" | "tls" | "relay" | "publicKeyFile" | "metricsListen" | "jailed" | "keepAliveMs">;
  readonly routes: (router: ConnectRouter) => void;
  readonly workspaces: Workspaces;
  readonly health: HealthState;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Where hands is reached. */
export interface Listeners {
  /** Where the services are; a port of 0 is replaced by the real one. */
  readonly address: Address;
  /** Let calls in flight end for `graceMs`, then cut them. */
  close(graceMs: number): Promise<void>;
}

/** Open the port or socket of the services and, if one is set, that of the metrics. */
export async function openListeners({ config, routes, workspaces, health, metrics, log }: ListenersOptions): Promise<Listeners> {
  const verifier = readVerifier(config.publicKeyFile, log);
  const authorize = async (header: string | undefined): Promise<void> => {
    if (verifier !== undefined) requireOperation(await verifier.verify(bearerToken(header)), "metrics");
  };
  const interceptors: Interceptor[] = [metrics.interceptor()];
  if (verifier !== undefined) interceptors.push(authenticate({ verifier, workspaces }));
  interceptors.push(keepAlive(SERVICES, config.keepAliveMs));
  const server = await serve({
    encoders: ENCODERS,
    address: config.listen,
    routes,
    interceptors,
    fallback: probes({ health, metrics, log, authorize }),
    log,
    ...(config.tls === undefined ? {} : { tls: loadServerTls(config.tls) }),
  });
  const metricsServer = await serveProbes(config.metricsListen, { health, metrics, log }).catch(async (error: unknown) => {
    await server.close(0);
    throw error;
  });
  const relays = dialRelays(config.relay, server, log);
  const unfollow = config.tls === undefined ? undefined : followTlsFiles(config.tls, server, log);
  if (config.tls !== undefined && !config.jailed)
    log.warn("commands run without a jail of their own: they can read the files of HANDS_TLS_KEY_FILE if this user can");
  return {
    address: server.address,
    close: async (graceMs) => {
      unfollow?.();
      await relays?.close();
      await Promise.all([server.close(graceMs), metricsServer?.close(graceMs)]);
    },
  };
}

/** Offer the services to relays too, if there are any; nothing waits until one can be reached. */
function dialRelays(relay: RelayConfig | undefined, server: Server, log: Logger): Relays | undefined {
  if (relay === undefined) return undefined;
  const { targets, tokenFile, tls } = relay;
  const relays = new Relays({
    relays: targets,
    tls: loadClientTls(tls),
    // A token that was renewed is in the same file.
    token: async () => (await readFile(tokenFile.path ?? "", "utf8")).trim(),
    adopt: server.adopt,
    log,
  });
  relays.start();
  return relays;
}

function readVerifier(publicKeyFile: string | undefined, log: Logger): TokenVerifier | undefined {
  if (publicKeyFile === undefined) {
    log.warn("no HANDS_PUBLIC_KEY_FILE: whoever may open the socket may do everything");
    return undefined;
  }
  try {
    const pem = readFileSync(publicKeyFile, "utf8");
    // Node makes a public key of a private one, which has no place here.
    if (/PRIVATE KEY/.test(pem)) throw new Error("it holds a private key");
    return new TokenVerifier(pem);
  } catch (error) {
    throw new ConfigError(
      `HANDS_PUBLIC_KEY_FILE can't be used (${error instanceof Error ? error.message : error}): it must be a public key as PEM`,
    );
  }
}
