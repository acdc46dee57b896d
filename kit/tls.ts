import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname } from "node:path";
import { type Address, isEncrypted } from "./address.ts";
import type { ClientTls } from "./connection.ts";
import { ConfigError, type EnvReader, type NamedFile } from "./env.ts";
import type { ServerTls } from "./listener.ts";
import type { Logger } from "./log.ts";
import type { Server } from "./serve.ts";

/** Where a server's TLS material lies, all of it PEM. */
export interface ServerTlsFiles {
  readonly cert: NamedFile;
  readonly key: NamedFile;
  /** Mutual TLS: the authority of the clients that are let in. */
  readonly clientCa: NamedFile;
}

/** Where a client's TLS material lies, all of it PEM. Every part may be missing. */
export interface ClientTlsFiles {
  readonly ca: NamedFile;
  readonly cert: NamedFile;
  readonly key: NamedFile;
}

/** Watching a directory may fail to tell; then a change is found after so many milliseconds. */
const LOOK_INTERVAL_MS = 60_000;
/** Certificate and key are written one after the other: they are read once nothing was written for that long. */
const SETTLE_MS = 100;

/**
 * The files of a server's TLS, checked, or `undefined` if none is set. Notes as problems: one half of the pair, a file that can't be used,
 * TLS on a Unix socket, an https address without a certificate.
 */
export function readServerTls(env: EnvReader, listen: Address, files: ServerTlsFiles): ServerTlsFiles | undefined {
  const { cert, key, clientCa } = files;
  if (cert.path === undefined && key.path === undefined && clientCa.path === undefined) {
    if (isEncrypted(listen)) env.problem(`${cert.variable} and ${key.variable} are not set: an https address needs both`);
    return undefined;
  }
  if (listen.kind === "unix") env.problem(`${cert.variable} is for TCP: a Unix socket needs no TLS`);
  if (!checkPair(env, cert, key, clientCa)) return undefined;
  note(env, () => loadServerTls(files));
  return files;
}

/** A client's TLS material, checked, or `undefined` if none is set. */
export function readClientTls(env: EnvReader, server: Address | undefined, files: ClientTlsFiles): ClientTls | undefined {
  const { ca, cert, key } = files;
  const set = [ca, cert, key].filter(({ path }) => path !== undefined);
  if (set[0] === undefined) return undefined;
  if (server !== undefined && !isEncrypted(server)) env.problem(`${set[0].variable} needs an https:// address to connect to`);
  if (!(cert.path === undefined && key.path === undefined) && !checkPair(env, cert, key)) return undefined;
  return note(env, () => loadClientTls(files));
}

/** Read a client's material; a certificate and its key go together. Throws a ConfigError that names the file that can't be used. */
export function loadClientTls({ ca, cert, key }: ClientTlsFiles): ClientTls {
  return {
    ...(ca.path === undefined ? {} : { ca: readAuthority(ca) }),
    ...(cert.path === undefined ? {} : readPair(cert, key)),
  };
}

/** Read a server's material. Throws a ConfigError that names the variable of the file that can't be used. */
export function loadServerTls({ cert, key, clientCa }: ServerTlsFiles): ServerTls {
  return { ...readPair(cert, key), ...(clientCa.path === undefined ? {} : { clientCa: readAuthority(clientCa) }) };
}

/**
 * Give a server its files again whenever they change, as Kubernetes does when it renews a certificate. What can't be used is logged, and the
 * server goes on with what it has. Connections that are open stay. Returns what ends it.
 */
export function followTlsFiles(files: ServerTlsFiles, server: Pick<Server, "replaceTls">, log: Logger): () => void {
  let current = JSON.stringify(loadServerTls(files));
  const look = (): void => {
    try {
      const tls = loadServerTls(files);
      if (JSON.stringify(tls) === current) return;
      server.replaceTls(tls);
      current = JSON.stringify(tls);
      log.info("the TLS certificate was renewed");
    } catch (error) {
      log.warn({ err: error }, "changed TLS files can't be used: the server goes on with those that it has");
    }
  };
  let settling: NodeJS.Timeout | undefined;
  const soon = (): void => {
    clearTimeout(settling);
    settling = setTimeout(look, SETTLE_MS).unref();
  };
  const paths = [files.cert, files.key, files.clientCa].flatMap(({ path }) => (path === undefined ? [] : [path]));
  const watchers = [...new Set(paths.map((path) => dirname(path)))].flatMap((directory) => watchDirectory(directory, soon));
  const timer = setInterval(look, LOOK_INTERVAL_MS).unref();
  return () => {
    clearInterval(timer);
    clearTimeout(settling);
    for (const watcher of watchers) watcher.close();
  };
}

/** The directory and not the files: those are replaced by others, or by other links. */
function watchDirectory(directory: string, onChange: () => void): FSWatcher[] {
  try {
    return [watch(directory, { persistent: false }, onChange).on("error", () => undefined)];
  } catch {
    return [];
  }
}

function checkPair(env: EnvReader, cert: NamedFile, key: NamedFile, clientCa?: NamedFile): boolean {
  const why =
    clientCa?.path === undefined ? "a certificate and its key go together" : `${clientCa.variable} needs the server's own certificate`;
  for (const missing of [cert, key]) if (missing.path === undefined) env.problem(`${missing.variable} is not set: ${why}`);
  return cert.path !== undefined && key.path !== undefined;
}

function note<T>(env: EnvReader, load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    env.problem(error.message);
    return undefined;
  }
}

function readPair(certFile: NamedFile, keyFile: NamedFile): { cert: string; key: string } {
  const cert = readText(certFile);
  const key = readText(keyFile);
  const certificate = parse(certFile, "a certificate", () => new X509Certificate(cert));
  const privateKey: KeyObject = parse(keyFile, "a private key without a passphrase", () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey))
    throw new ConfigError(`${keyFile.variable}: the key does not belong to the certificate in ${certFile.variable}`);
  assertCurrent(certFile, certificate);
  return { cert, key };
}

function readAuthority(file: NamedFile): string {
  const text = readText(file);
  assertCurrent(
    file,
    parse(file, "a certificate", () => new X509Certificate(text)),
  );
  return text;
}

function assertCurrent(file: NamedFile, certificate: X509Certificate): void {
  if (certificate.validToDate.getTime() > Date.now()) return;
  throw new ConfigError(`${file.variable}: the certificate expired on ${certificate.validToDate.toISOString()}: renew it`);
}

function readText({ variable, path }: NamedFile): string {
  try {
    return readFileSync(path ?? "", "utf8");
  } catch (error) {
    throw new ConfigError(`${variable}: ${path} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** What the parser says itself may quote the file. */
function parse<T>(file: NamedFile, what: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw new ConfigError(`${file.variable}: ${file.path} must hold ${what} as PEM`);
  }
}
