import { randomBytes } from "node:crypto";
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";
import { newId } from "@serverless-harness/kit/ids";
import type { ArtifactStore } from "./artifact-store.ts";
import { DirectoryArtifacts } from "./directory.ts";
import { S3Artifacts, type S3Options } from "./s3.ts";

const FORMS = "`file:///absolute/directory` or `s3://bucket/prefix?endpoint=https://host&region=...&path_style=true`";

/**
 * The artifact store of a URL: `file:///absolute/directory`, or `s3://bucket/prefix` with the optional parameters `endpoint`, `region` and
 * `path_style` (see {@link S3Options}). Nothing is opened before it is used. ConfigError for any other URL, and for one that holds
 * credentials, which belong into `credentials`.
 */
export function openArtifacts(url: string, credentials?: S3Options["credentials"]): ArtifactStore {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) throw new ConfigError(`${JSON.stringify(url)} is no artifact store: use ${FORMS}`);
  if (parsed.username !== "" || parsed.password !== "" || parsed.hash !== "") {
    throw new ConfigError(`an artifact store's URL holds no user, password or fragment: use ${FORMS}`);
  }
  if (parsed.protocol === "file:" && parsed.host === "" && parsed.search === "" && parsed.pathname !== "/") {
    return new DirectoryArtifacts(decoded(parsed.pathname));
  }
  if (parsed.protocol === "s3:" && parsed.hostname !== "" && parsed.port === "") return new S3Artifacts(s3Options(parsed, credentials));
  throw new ConfigError(`${JSON.stringify(url)} is no artifact store: use ${FORMS}`);
}

function s3Options(url: URL, credentials: S3Options["credentials"]): S3Options {
  const known = new Map(url.searchParams);
  const take = (name: string): string | undefined => {
    const value = known.get(name);
    known.delete(name);
    return value === "" ? undefined : value;
  };
  const region = take("region");
  const endpoint = take("endpoint");
  const pathStyle = take("path_style");
  const [unknown] = known.keys();
  if (unknown !== undefined) throw new ConfigError(`an artifact store's URL has no parameter ${unknown}: use ${FORMS}`);
  if (endpoint !== undefined && !/^https?:\/\/[^/?#@]+\/?$/.test(endpoint)) {
    throw new ConfigError(`${JSON.stringify(endpoint)} is no endpoint of an artifact store: it must be https://host or http://host:port`);
  }
  if (pathStyle !== undefined && pathStyle !== "true" && pathStyle !== "false") {
    throw new ConfigError(`path_style of an artifact store is ${JSON.stringify(pathStyle)}: it must be true or false`);
  }
  const prefix = decoded(url.pathname).slice(1);
  if (!/^[A-Za-z0-9._:/-]*$/.test(prefix))
    throw new ConfigError("an artifact store's prefix may have A-Z a-z 0-9 . _ : - and slashes only");
  return {
    bucket: url.hostname,
    prefix,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(pathStyle === undefined ? {} : { pathStyle: pathStyle === "true" }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new ConfigError(`${JSON.stringify(path)} is no path of an artifact store: write a percent sign as %25`);
  }
}

/** Least length of a key, in bytes. */
const MIN_BYTES = 32;

/** The key of an artifact store's users, from a file. ConfigError if it can't be read, or is too short to be one. */
export function readStoreKey(path: string): Buffer {
  let key: Buffer;
  try {
    key = readFileSync(path);
  } catch (error) {
    throw new ConfigError(`HANDS_ARTIFACTS_KEY_FILE can't be read (${error instanceof Error ? error.message : String(error)})`);
  }
  if (key.length >= MIN_BYTES) return key;
  throw new ConfigError(`HANDS_ARTIFACTS_KEY_FILE holds ${key.length} bytes: a key has at least ${MIN_BYTES}, made at random`);
}

/** The key of a store that has one user, this daemon; made if it is missing. */
export function ownStoreKey(path: string): Buffer {
  if (!existsSync(path)) {
    const fresh = `${path}.${newId("key")}`;
    writeFileSync(fresh, randomBytes(MIN_BYTES), { mode: 0o600, flag: "wx", flush: true });
    // By a link, so that the file is there as a whole or not at all.
    linkSync(fresh, path);
    rmSync(fresh);
  }
  return readStoreKey(path);
}
