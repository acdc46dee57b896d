import { isAbsolute } from "node:path";
import { ConfigError } from "@serverless-harness/kit/env";

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;

/** The files of a connection over TLS, absolute paths of PEM. */
export interface RedisTls {
  /** The authority that the Redis must be certified by. Default: those that the system trusts. */
  readonly ca: string | undefined;
  /** What this client shows to a Redis that asks for it, and its key: both or none. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** A Redis that holds a store. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  /** Absent: no TLS. */
  readonly tls: RedisTls | undefined;
  /** Begins the name of every key, so that several stores can share a Redis. */
  readonly prefix: string;
  /** How many partitions a store gets that is made now; an existing one keeps its number. */
  readonly partitions: number;
  /** File of this machine that remembers which store was there: an emptied Redis, or another one, is then refused. Absolute; absent: none. */
  readonly idFile: string | undefined;
}

/** Where a leaf store is. */
export type StoreAddress = { readonly kind: "sqlite"; readonly path: string } | { readonly kind: "redis"; readonly redis: RedisAddress };

/** Default of `?partitions=`. */
const PARTITIONS = 16;
const MAX_PARTITIONS = 64;
const PARAMETERS = new Set(["prefix", "partitions", "id_file", "ca", "cert", "key"]);
const PREFIX = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Read a leaf store's address: `sqlite:/absolute/path`, `redis://[user:password@]host[:port][/db][?prefix=name&partitions=n]`, or the same
 * with `rediss:` for TLS and `ca`, `cert` and `key` for its files. Throws a {@link ConfigError} for every other one; its message holds no password.
 */
export function parseStoreUrl(url: string): StoreAddress {
  const scheme = SCHEME.exec(url)?.[1]?.toLowerCase();
  if (scheme === "redis" || scheme === "rediss") return { kind: "redis", redis: redisAddress(url, scheme === "rediss") };
  if (scheme !== "sqlite") {
    const what = scheme === undefined ? "has no scheme" : `has the unknown scheme ${scheme}`;
    throw new ConfigError(`the leaf store's address ${what}: it must be sqlite:/absolute/path/leaf.db or redis://host:port`);
  }
  const path = url.slice("sqlite:".length);
  if (!isAbsolute(path) || path.startsWith("//") || path.endsWith("/") || path.includes("\0")) {
    throw new ConfigError(
      `the leaf store's path ${JSON.stringify(path)} is no file's: it must be absolute, as sqlite:/var/lib/harness/leaf.db`,
    );
  }
  return { kind: "sqlite", path };
}

function redisAddress(text: string, tls: boolean): RedisAddress {
  const url = URL.parse(text);
  const refuse = (what: string): never => {
    throw new ConfigError(`the leaf store's redis address ${what}: it must be redis://[user:password@]host[:port][/db]`);
  };
  if (url === null || url.hostname === "") return refuse("can't be read");
  const db = Number(url.pathname.slice(1) || "0");
  if (!/^\/?\d{0,5}$/.test(url.pathname)) return refuse("has a path that is no database's number");
  const number = Number(url.searchParams.get("partitions") ?? PARTITIONS);
  if (!Number.isInteger(number) || number < 1 || number > MAX_PARTITIONS) return refuse(`must have partitions from 1 to ${MAX_PARTITIONS}`);
  const prefix = url.searchParams.get("prefix") ?? "harness";
  if (!PREFIX.test(prefix)) return refuse("has a prefix that is not made of letters, digits, dot, underscore and hyphen");
  for (const name of url.searchParams.keys()) {
    if (!PARAMETERS.has(name)) return refuse(`has the unknown parameter ${JSON.stringify(name)}`);
  }
  const files = tlsFiles(url, refuse);
  if (!tls && Object.values(files).some((path) => path !== undefined)) {
    throw new ConfigError("the leaf store's redis address names files of TLS, which is not spoken there: it must begin with rediss:");
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || "6379"),
    username: decode(url.username) || undefined,
    password: decode(url.password) || undefined,
    db,
    tls: tls ? files : undefined,
    prefix,
    partitions: number,
    idFile: fileOf(url, "id_file", refuse),
  };
}

function fileOf(url: URL, name: string, refuse: (what: string) => never): string | undefined {
  const value = url.searchParams.get(name) ?? undefined;
  if (value === undefined || (isAbsolute(value) && !value.includes("\0"))) return value;
  return refuse(`has a ${name} that is no absolute path`);
}

function tlsFiles(url: URL, refuse: (what: string) => never): RedisTls {
  const files = { ca: fileOf(url, "ca", refuse), cert: fileOf(url, "cert", refuse), key: fileOf(url, "key", refuse) };
  if ((files.cert === undefined) !== (files.key === undefined)) return refuse("needs both of cert and key, or none");
  return files;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ConfigError("the leaf store's redis address has a user or password that is not percent-encoded");
  }
}
