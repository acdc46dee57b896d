import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { ConfigError } from "@serverless-harness/kit/env";
import { loadClientTls } from "@serverless-harness/kit/tls";
import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { RedisAddress, RedisTls } from "../contract/store-url.ts";
import { replyCode } from "./redis-error.ts";

/**
 * What the scripts and the client call, here and in Pi's sessions. A Redis whose operator took one of them away is refused when a store is
 * opened, and not in the middle of a leaf.
 */
export const COMMANDS: readonly string[] = [
  ...["del", "eval", "evalsha", "exists", "expire", "get", "persist", "pexpire", "publish", "set", "subscribe", "time", "unlink"],
  ...["hdel", "hexists", "hget", "hgetall", "hincrby", "hkeys", "hmget", "hrandfield", "hscan", "hset", "hsetnx"],
  ...["lrange", "rpush", "sadd", "sismember", "smembers", "spop", "srem"],
  ...["xadd", "xdel", "xlen", "xrange"],
  ...["zadd", "zcard", "zcount", "zlexcount", "zmscore", "zpopmin", "zrange", "zrangebyscore"],
  ...["zrem", "zremrangebyrank", "zremrangebyscore", "zrevrangebylex", "zscore"],
];

/** A Redis, or a cluster of them. */
export type Client = Redis | Cluster;

/** Debian 12 ships 7.0; older ones lack what the scripts call. */
const OLDEST_VERSION = 7;
const CONNECT_TIMEOUT_MS = 5000;
/** A command that gets no answer for that long fails; what it asked for may have happened. */
const COMMAND_TIMEOUT_MS = 10_000;
/**
 * A connection over which nothing comes for that long, though something was asked, is replaced, and what was asked is sent again: a host that is
 * gone sends no sign of it.
 */
const SILENCE_MS = 4000;
/** Tries of a command over a connection that breaks: about 3 s with the pauses between them. */
const RETRIES = 12;

/**
 * Connect to the Redis that holds a store, and make sure that it can. A cluster is recognised by itself. Throws a {@link ConfigError} that
 * says what to do if it can't be reached, refuses the user, is too old, is a replica, or would evict what it was told to keep.
 */
export async function connectRedis(address: RedisAddress): Promise<Client> {
  const name = nameOf(address);
  const first = await connectOne(address);
  try {
    const facts = readFacts(await first.info("all"));
    check(facts, name);
    await checkCommands(first, name);
    if (facts.get("cluster_enabled") !== "1") {
      first.options.retryStrategy = pause;
      return first;
    }
  } catch (error) {
    first.disconnect();
    throw adviceOf(error, address);
  }
  first.disconnect();
  if (address.db !== 0) throw new ConfigError(`${name} is a cluster, which has one database only: leave /${address.db} out of the address`);
  return connectCluster(address);
}

/** What listens for a client: another connection to the same Redis. The client of a cluster has one of its own for that. */
export function listenerOf(client: Client): Client {
  if (client instanceof Cluster) return client;
  const listener = client.duplicate({ retryStrategy: pause });
  listener.on("error", () => undefined);
  return listener;
}

function nameOf({ host, port }: RedisAddress): string {
  return `the leaf store's Redis at ${host}:${port}`;
}

function pause(times: number): number {
  return Math.min(20 * 2 ** times, 400);
}

function optionsOf({ host, port, db, username, password, tls }: RedisAddress) {
  return {
    host,
    port,
    db,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    maxRetriesPerRequest: RETRIES,
    // Every script can be sent again: it knows its own call when it meets it a second time.
    autoResendUnfulfilledCommands: true,
    disableClientInfo: true,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tlsOptions(host, tls) }),
  } satisfies RedisOptions;
}

/** One connection, or the reason why there is none. It gives up at once, so that a wrong setting is told and not waited for. */
async function connectOne(address: RedisAddress): Promise<Redis> {
  const redis = new Redis({ ...optionsOf(address), lazyConnect: true, retryStrategy: () => null });
  let cause: unknown;
  redis.on("error", (error) => {
    cause ??= error;
  });
  try {
    await redis.connect();
    return redis;
  } catch (error) {
    redis.disconnect();
    throw adviceOf(cause ?? error, address);
  }
}

async function connectCluster(address: RedisAddress): Promise<Cluster> {
  const { host, port, ...redisOptions } = optionsOf(address);
  const cluster = new Cluster([{ host: address.host, port: address.port }], {
    redisOptions,
    lazyConnect: true,
    clusterRetryStrategy: pause,
  });
  cluster.on("error", () => undefined);
  try {
    await cluster.connect();
    return cluster;
  } catch (error) {
    cluster.disconnect();
    throw adviceOf(error, address);
  }
}

function readFacts(info: string): ReadonlyMap<string, string> {
  return new Map(
    info.split("\r\n").flatMap((line): [string, string][] => {
      const colon = line.indexOf(":");
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)]];
    }),
  );
}

function check(facts: ReadonlyMap<string, string>, name: string): void {
  const version = facts.get("redis_version") ?? "";
  if (Number.parseInt(version, 10) < OLDEST_VERSION) {
    throw new ConfigError(`${name} has version ${version}: ${OLDEST_VERSION}.0 or later is needed`);
  }
  if (facts.get("role") === "slave") throw new ConfigError(`${name} is a read-only replica: name its primary`);
  const policy = facts.get("maxmemory_policy") ?? "noeviction";
  if (facts.get("maxmemory") !== "0" && policy !== "noeviction") {
    throw new ConfigError(
      `${name} deletes keys when its memory is full (maxmemory-policy ${policy}), and so would lose leaves: set noeviction`,
    );
  }
}

async function checkCommands(redis: Redis, name: string): Promise<void> {
  const known = await redis.call("COMMAND", "INFO", ...COMMANDS);
  const missing = COMMANDS.filter((_, i) => !Array.isArray(known) || known[i] === null);
  if (missing.length > 0) throw new ConfigError(`${name} lacks commands: ${missing.join(", ")}; a plain Redis 7 has them all`);
}

/** What an operator can do about a Redis that a store can't be opened in; errors without such an answer pass as they are. */
export function adviceOf(error: unknown, address: RedisAddress): unknown {
  const name = nameOf(address);
  if (!(error instanceof Error) || error instanceof ConfigError) return error;
  switch (replyCode(error)) {
    case "WRONGPASS":
      return new ConfigError(`${name} refuses the user or the password of the address`);
    case "NOAUTH":
      return new ConfigError(`${name} asks for a password, and the address has none: redis://:password@host`);
    case "NOPERM":
      return new ConfigError(`${name} lets this user not do what a store does: ${error.message}`);
    case "LOADING":
      return new ConfigError(`${name} is still reading its data from disk: start again in a moment`);
    case "":
    case "DENIED":
      return new ConfigError(`${name} can't be reached (${error.message}): ${tlsAdvice(error, address)}`);
    default:
      return new ConfigError(`${name} can't be used: ${error.message}`);
  }
}

/** How a connection is secured. Throws a ConfigError that names the file that can't be used. */
function tlsOptions(host: string, { ca, cert, key }: RedisTls): ConnectionOptions {
  const file = (name: string, path: string | undefined) => ({ variable: `the leaf store's redis address, ${name}`, path });
  return {
    ...loadClientTls({ ca: file("ca", ca), cert: file("cert", cert), key: file("key", key) }),
    // An address in numbers has no name to be asked for.
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
}

/** What to do about a connection that failed; its own words are said already. */
function tlsAdvice(error: Error, { tls }: RedisAddress): string {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (tls === undefined) return "check host and port, that it runs, and redis: against rediss:";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "its certificate is for other names: use one of them as the host";
  if (code === "CERT_HAS_EXPIRED") return "renew its certificate";
  if (/CERT|ISSUER|VERIFY/.test(code) && !/ALERT/.test(code)) {
    return tls.ca === undefined
      ? "name the authority of its certificate: ?ca=/absolute/file"
      : "its certificate is of another authority than ?ca= names";
  }
  if (/ALERT/.test(code) && tls.cert === undefined) return "it may ask for a client's certificate: ?cert=/absolute/file&key=/absolute/file";
  return "check host and port, that it runs, redis: against rediss:, and the certificate that it asks for";
}
