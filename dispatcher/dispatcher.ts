import { type Address, formatAddress } from "@serverless-harness/kit/address";
import { AddressRule } from "@serverless-harness/kit/address-rule";
import { ConfigError } from "@serverless-harness/kit/env";
import { HealthState } from "@serverless-harness/kit/health";
import { issuerOf, JwtSigner } from "@serverless-harness/kit/jwt";
import { createLogger, type Logger } from "@serverless-harness/kit/log";
import type { Service } from "@serverless-harness/kit/main";
import { Metrics } from "@serverless-harness/kit/metrics";
import { probes, serveProbes } from "@serverless-harness/kit/probes";
import { serve } from "@serverless-harness/kit/serve";
import { KeyFile } from "@serverless-harness/kit/signing-keys";
import { followTlsFiles, loadServerTls } from "@serverless-harness/kit/tls";
import { traced } from "@serverless-harness/kit/tracing/trace-parent";
import { openTracing } from "@serverless-harness/kit/tracing/tracing";
import type { Conversations } from "@serverless-harness/pi-fork/conversations";
import { LeafService, SandboxService, ScheduleService, WebhookService } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { type Audit, NO_AUDIT } from "./audit/audit.ts";
import { openAudit } from "./audit/open.ts";
import { Authenticator } from "./callers/authenticator.ts";
import { OWN_CLAIMS, SignedTokens } from "./callers/signed-tokens.ts";
import { type Config, readConfig } from "./config.ts";
import { guarded } from "./door/guard.ts";
import { Drain } from "./drain.ts";
import { Housekeeping } from "./housekeeping.ts";
import { AUDIENCE, IssuedTokens } from "./issued-tokens.ts";
import { Leaves } from "./leaves.ts";
import { Limits } from "./limits/limits.ts";
import { Caretaker } from "./pool/caretaker.ts";
import { POOL } from "./pool/config.ts";
import { LostSandboxes } from "./pool/lost-sandboxes.ts";
import { openPool } from "./pool/open.ts";
import { meterPool, PoolState } from "./pool/pool-state.ts";
import type { FoundSandbox } from "./pool/source.ts";
import { Relay } from "./relay.ts";
import { routes } from "./routes.ts";
import { Sandbox } from "./sandbox/sandbox.ts";
import { SandboxProbe } from "./sandbox-probe.ts";
import { serveScaler } from "./scaler/serve.ts";
import { ScheduleDriver } from "./schedules/driver.ts";
import { Schedules } from "./schedules/schedules.ts";
import { runWords } from "./seed-api/answer.ts";
import { SessionRetention } from "./session-retention.ts";
import { meterBrains, StoreMeter } from "./store-meter.ts";
import { tracedStore } from "./traced-store.ts";
import { FilesWriter } from "./volume/files-writer.ts";
import { Volume } from "./volume/volume.ts";
import { type BrainLog, openBrainLog } from "./waker/brain-log.ts";
import { KnativeWaker } from "./waker/knative.ts";
import { LocalWaker } from "./waker/local.ts";
import { OutsideWaker } from "./waker/outside.ts";
import type { Waker } from "./waker/waker.ts";
import { WEBHOOK_ALLOWED_HOSTS, type WebhooksConfig } from "./webhooks/config.ts";
import { Outbox } from "./webhooks/outbox.ts";
import { WebhookSettings } from "./webhooks/settings.ts";
import { Webhooks } from "./webhooks/webhooks.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Settings, then what it stands on, then its routes, then the door opens. Throws a ConfigError where a setting can't be used. */
export async function startDispatcher(): Promise<Service> {
  const config = readConfig();
  const log = createLogger("dispatcher", config.logLevel);
  const brainLog = openBrainLog(config.brainLog);
  const metrics = new Metrics();
  const tracing = await openTracing(config.tracing, "leaf-dispatcher", log);
  const meter = new StoreMeter(tracedStore(await openLeafStore(config.leafStore), tracing), metrics, log);
  const { store } = meter;
  const auditLog = openAudit(config.audit, log);
  const audit = auditLog ?? NO_AUDIT;
  const { webhooks, outbox } = openWebhooks(config.webhooks, store, audit, log);
  const brainEnvironment = environmentOfBrains(config.brainEnvironment);
  const waker = createWaker(config, brainEnvironment, store, brainLog, log);
  meterBrains(waker, metrics);
  const sandbox = config.sandbox && new Sandbox(config.sandbox, log);
  const poolState = config.pool && new PoolState(store);
  if (poolState !== undefined) meterPool(poolState, metrics);
  const sandboxProbe = poolState ?? new SandboxProbe(config.brainEnvironment["HANDS_URL"], log);
  const { auth, tokens } = await openTokens(config, store, audit);
  const pool = config.pool && openPool(config.pool, store, () => dialledIn(config.pool?.ownUrl, server.address, relay), log);
  const caretaker = pool && new Caretaker({ store, pool, log });
  const relay = new Relay({ auth, audit, log, ...(pool && { requireName: (name, tenant) => pool.requireName(name, tenant) }) });
  const housekeeping = new Housekeeping(store, config.retention, createSessionRetention(config, pool ?? sandbox, store, log), log);
  const drain = new Drain();
  const health = new HealthState([LeafService, SandboxService, ScheduleService, WebhookService].map((each) => each.typeName));
  const { keepAliveMs, saturationMs, seedApi } = config;
  const volume = config.volume && new Volume(config.volume.path, config.volume.at);
  const files = volume && new FilesWriter({ store, volume, words: runWords, log });
  const limits = new Limits({ ...config.limits, store, log });
  const leaves = new Leaves({ store, waker, drain, webhooks, volume, audit, limits });
  const driver = new ScheduleDriver(store, leaves, log);
  const schedules = new Schedules({ store, leaves, driver, audit, limits });
  const parts = {
    store,
    waker,
    schedules,
    sandbox,
    sandboxProbe,
    poolState,
    sandboxPublicKey: config.sandboxPublicKey,
    pool,
    auth,
    tokens,
    audit,
    limits,
    webhooks,
    volume,
  };
  const deps = { ...parts, drain, health, keepAliveMs, saturationMs, seedApi, log };
  const { fallback, interceptors, ...rest } = routes(deps);
  const server = await serve({
    address: config.listen,
    log,
    around: (handler) => guarded(config.door, config.listen, log)(relay.around(traced(handler))),
    upgrade: relay.upgrade,
    ...rest,
    interceptors: [metrics.interceptor(), ...interceptors],
    fallback: probes({ health, metrics, log, authorize: (header) => auth.requireOperator(header), next: fallback }),
    ...(config.tls === undefined ? {} : { tls: loadServerTls(config.tls) }),
  });
  const unfollow = config.tls === undefined ? undefined : followTlsFiles(config.tls, server, log);
  const probesServer = await serveProbes(config.metricsListen, {
    health,
    metrics,
    log,
    ...(config.metricsListen && { around: guarded(config.door, config.metricsListen, log) }),
  });
  const scaler = await serveScaler(config.scaler, {
    store,
    health,
    ended: drain.ended,
    keepAliveMs: config.keepAliveMs,
    door: config.door,
    log,
  });
  brainEnvironment["BRAIN_WAKE_URL"] ??= wakeUrlAt(server.address);
  brainEnvironment["DISPATCHER_URL"] ??= formatAddress(reachable(server.address));
  if (pool !== undefined) brainEnvironment["HANDS_URL"] ??= POOL;
  const lostSandboxes = config.pool && new LostSandboxes({ store, aliveMs: config.pool.aliveMs, log });
  pool?.start();
  lostSandboxes?.start();
  caretaker?.start();
  waker.start();
  housekeeping.start();
  limits.start();
  files?.start();
  driver.start();
  outbox?.start();
  log.info({ address: formatAddress(server.address), waker: config.waker }, "dispatcher listens");
  return {
    stop: async (signal) => {
      log.info({ signal }, "dispatcher stops");
      drain.begin();
      health.stopServing();
      await Promise.all([
        lostSandboxes?.stop(),
        caretaker?.stop(),
        waker.stop(),
        housekeeping.stop(),
        limits.stop(),
        files?.stop(),
        driver.stop(),
        outbox?.stop(),
      ]);
      await pool?.stop();
      drain.end();
      relay.close();
      unfollow?.();
      await Promise.all([server.close(), probesServer?.close(), scaler?.close()]);
      meter.stop();
      await auditLog?.close();
      await Promise.all([store.close(), tracing.close()]);
      brainLog.close();
    },
  };
}

/** Who is let in: the operator, and whoever has a token of ours or of an issuer that is trusted. Throws a ConfigError for keys that can't be used. */
async function openTokens(config: Config, store: LeafStore, audit: Audit): Promise<{ auth: Authenticator; tokens: IssuedTokens }> {
  const { signingKeys: path, issuer, trustedIssuers } = config;
  const keys = path === undefined ? undefined : await openKeys(path);
  const tokens = new IssuedTokens(store, keys === undefined ? undefined : new JwtSigner(keys, issuer), audit);
  const own = keys === undefined ? [] : [{ issuer: issuerOf(keys, issuer, AUDIENCE), mapping: OWN_CLAIMS }];
  const trusted = [...own, ...trustedIssuers];
  const auth = new Authenticator({
    brainToken: config.brainToken,
    operatorToken: config.token,
    takesEverybody: config.token === undefined && config.listen.kind === "unix",
    tokens: trusted.length === 0 ? undefined : new SignedTokens(trusted, (tokenId) => tokens.isRevoked(tokenId)),
  });
  return { auth, tokens };
}

async function openKeys(path: string): Promise<KeyFile> {
  try {
    const keys = await KeyFile.open(path);
    await keys.signing();
    return keys;
  } catch (error) {
    throw new ConfigError(`DISPATCHER_SIGNING_KEYS_FILE: ${path} can't be used: ${error instanceof Error ? error.message : error}`);
  }
}

/** Who is told of leaves' events, and what tells them; nothing does without the operator's file. */
function openWebhooks(
  config: WebhooksConfig,
  store: LeafStore,
  audit: Audit,
  log: Logger,
): { webhooks: Webhooks; outbox: Outbox | undefined } {
  const { file, allowed, retry, timeoutMs } = config;
  const rule = new AddressRule(allowed, WEBHOOK_ALLOWED_HOSTS);
  const changed = (tenants: readonly string[]): void => audit.noted("webhooks.changed", { tenants });
  const webhooks = new Webhooks(file === undefined ? undefined : new WebhookSettings(file, rule, log, changed), rule);
  return { webhooks, outbox: file === undefined ? undefined : new Outbox({ store, webhooks, rule, retry, timeoutMs, log }) };
}

/** Where hands on this machine reaches us; elsewhere BRAIN_WAKE_URL has to say it. A socket takes no calls of hands. */
function wakeUrlAt(address: Address): string | undefined {
  if (address.kind === "unix") return undefined;
  return `${formatAddress(reachable(address))}/wake`;
}

/** Where a process on this machine reaches what listens at an address. */
function reachable(address: Address): Address {
  const everywhere = address.kind === "tcp" && (address.host === "0.0.0.0" || address.host === "::");
  return everywhere ? { ...address, host: "127.0.0.1" } : address;
}

/** Sandboxes that dialled in to this dispatcher. On a socket nobody else can call them. */
function dialledIn(ownUrl: string | undefined, address: Address, relay: Relay): FoundSandbox[] {
  const url = ownUrl ?? (address.kind === "unix" ? undefined : formatAddress(reachable(address)));
  return url === undefined ? [] : relay.sandboxes(url);
}

/** What names a file that holds a secret of ours alone. */
const FILES_OF_SECRETS: ReadonlySet<string> = new Set([
  "HANDS_PRIVATE_KEY_FILE",
  "DISPATCHER_TOKEN_FILE",
  "DISPATCHER_SIGNING_KEYS_FILE",
  "DISPATCHER_TLS_KEY_FILE",
]);

/** What brains inherit: all but what opens more than they need. */
function environmentOfBrains(own: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(own).filter(([name]) => !FILES_OF_SECRETS.has(name)));
}

/** `undefined` where nobody says where the sandbox is: without the workspaces no session would go whole. */
function createSessionRetention(
  { leafStore, keepSessionsMs: keepMs }: Config,
  sandbox: Pick<Sandbox, "deleteWorkspace"> | undefined,
  store: LeafStore,
  log: Logger,
): SessionRetention | undefined {
  if (sandbox === undefined) {
    log.info("sessions are kept for ever: HANDS_URL does not say where their workspaces are");
    return undefined;
  }
  const openConversations = async (): Promise<Conversations> => {
    const conversations = await import("@serverless-harness/pi-fork/conversations");
    return conversations.openConversations(leafStore);
  };
  return new SessionRetention({ store, openConversations, sandbox, keepMs, log });
}

function createWaker(config: Config, env: Environment, store: LeafStore, brainLog: BrainLog, log: Logger): Waker {
  if (config.waker === "none" || config.waker === "keda") return new OutsideWaker({ kind: config.waker, store, log });
  if (config.knative !== undefined) return new KnativeWaker({ store, log, ...config.knative });
  const brain = { command: config.brainCommand, env };
  return new LocalWaker({ store, log, brain, brainLog });
}
