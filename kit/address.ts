import { isAbsolute } from "node:path";

/** Where a service listens or is reached. */
export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls?: true };

/**
 * Read `unix:/absolute/path`, `http://host:port`, `https://host:port` (TLS), `host:port` or `[v6]:port`. Returns `undefined` for
 * anything else. Port 0 asks the system for a free one.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return isAbsolute(path) ? { kind: "unix", path } : undefined;
  }
  const match = /^(?:http(s?):\/\/)?(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/]+)):(\d{1,5})\/?$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  const port = Number(match?.[4]);
  if (host === undefined || !(port <= 65535)) return undefined;
  return { kind: "tcp", host, port, ...(match?.[1] === "s" ? { tls: true } : {}) };
}

/** Where a client's calls go: a service, or one of those that a service hands calls on to. */
export interface Target {
  readonly address: Address;
  /** Stands before the path of every call, as `/v1/sandboxes/laptop/rpc`. Empty: nothing does. */
  readonly prefix: string;
}

/** Read what {@link parseAddress} reads; an `http` or `https` address may end with a path, which becomes the prefix. */
export function parseTarget(text: string): Target | undefined {
  const [, origin = text, path = ""] = /^(https?:\/\/[^/]+)(\/[\w./~-]*)$/.exec(text) ?? [];
  const address = parseAddress(origin);
  return address && { address, prefix: path.replace(/\/+$/, "") };
}

/** The address as text that {@link parseAddress} reads. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.tls ? "https" : "http"}://${host}:${address.port}`;
}

/** What is sent there can't be read on its way: it has TLS. */
export function isEncrypted(address: Address): boolean {
  return address.kind === "tcp" && address.tls === true;
}

/** The address can't be reached from another machine. */
export function isLoopback(address: Address): boolean {
  if (address.kind === "unix") return true;
  return address.host === "localhost" || address.host === "::1" || /^127(\.\d+){3}$/.test(address.host);
}
