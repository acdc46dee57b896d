import { unlink } from "node:fs/promises";
import * as net from "node:net";
import * as tls from "node:tls";
import type { Address } from "./address.ts";
import { ConfigError } from "./env.ts";

/** A server's TLS material, as PEM texts. TLS 1.2 is the least. */
export interface ServerTls {
  readonly key: string;
  readonly cert: string;
  /** Mutual TLS: only clients with a certificate of this authority are let in. */
  readonly clientCa?: string;
}

/** What {@link createListener} needs. */
export interface ListenerOptions {
  readonly address: Address;
  /** Needed if the address asks for TLS. */
  readonly tls: ServerTls | undefined;
  /** How long a TLS handshake may take, in milliseconds. */
  readonly patienceMs: number;
}

/** A listener that hands over connections, decrypted if the address asks for TLS. Throws a ConfigError if there is no TLS material that can be used. */
export function createListener(
  { address, tls: material, patienceMs }: ListenerOptions,
  onConnection: (socket: net.Socket) => void,
): net.Server {
  if (address.kind !== "tcp" || address.tls !== true) return net.createServer(onConnection);
  if (material === undefined) throw new ConfigError("an https address needs a key and a certificate");
  const isMutual = material.clientCa !== undefined;
  try {
    return tls.createServer(
      {
        ...contextOptions(material),
        handshakeTimeout: patienceMs,
        ALPNProtocols: ["h2", "http/1.1"],
        ...(isMutual ? { requestCert: true, rejectUnauthorized: true } : {}),
      },
      onConnection,
    );
  } catch (error) {
    throw new ConfigError(`the TLS key or certificate can't be used: ${error instanceof Error ? error.message : error}`);
  }
}

/** Use other TLS material for connections from now on; those that are open stay. Throws if it can't be used, or there is no TLS. */
export function replaceTls(listener: net.Server, material: ServerTls): void {
  if (!(listener instanceof tls.Server)) throw new Error("the server has no TLS");
  listener.setSecureContext(contextOptions(material));
}

function contextOptions({ key, cert, clientCa }: ServerTls): tls.SecureContextOptions {
  return { key, cert, minVersion: "TLSv1.2", ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

/** Listen, or fail with a message that says what to do. A Unix socket is readable by its owner only. */
export async function listen(listener: net.Server, address: Address): Promise<void> {
  if (address.kind === "unix") await removeStaleSocket(address.path);
  // The socket's file is made while `listen` runs: private from its first instant.
  const umask = process.umask(0o177);
  const listening = new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port }, () => resolve());
  });
  process.umask(umask);
  await listening.catch((error: NodeJS.ErrnoException) => {
    const where = address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
    if (error.code === "EADDRINUSE") throw new ConfigError(`${where} is in use by another process: stop it or choose another address`);
    throw new ConfigError(`can't listen on ${where}: ${error.message}`);
  });
}

/** Remove a socket file that nobody listens on, as a killed process leaves it. */
async function removeStaleSocket(path: string): Promise<void> {
  const alive = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => resolve(true));
    probe.on("error", () => resolve(false));
    probe.on("connect", () => probe.destroy());
  });
  if (alive) throw new ConfigError(`${path} is in use by another process: stop it or choose another address`);
  await unlink(path).catch(() => undefined);
}

/** Where it listens; a port of 0 is replaced by the real one. */
export function boundAddress(listener: net.Server, address: Address): Address {
  const bound = listener.address();
  if (address.kind === "unix" || bound === null || typeof bound === "string") return address;
  return { ...address, port: bound.port };
}
