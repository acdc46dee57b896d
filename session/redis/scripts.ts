import { randomFillSync } from "node:crypto";
import { Cluster } from "ioredis";
import { storeClosed } from "../contract/errors.ts";
import type { Client } from "./connect.ts";
import type { Script } from "./link.ts";
import { replyCode, translateRedisError } from "./redis-error.ts";

/** An argument of a script. */
export type Argument = string | number | bigint | Uint8Array;

/** What a script returns. Texts and bytes come as buffers. */
export type Reply = Buffer | number | null | readonly Reply[];

/** Run a script; it is sent whole only if the server does not know it (yet, or any more after a restart). */
export async function runScript(client: Client, script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
  const rest = [keys.length, ...keys, ...args];
  try {
    return await runCommand(client, "evalsha", script.sha, ...rest);
  } catch (error) {
    if (replyCode(error) !== "NOSCRIPT") throw error;
    return await runCommand(client, "eval", script.lua, ...rest);
  }
}

/** Run a command. Throws what {@link translateRedisError} makes of an error. */
export async function runCommand(client: Client, command: string, ...args: readonly Argument[]): Promise<Reply> {
  // A client that was closed would say so in its own words, or keep the call.
  if (closed.has(client)) throw storeClosed();
  try {
    const reply = client.callBuffer(command, args.map(encoded)) as Promise<Reply>;
    return await (client instanceof Cluster ? untilClosed(client, reply) : reply);
  } catch (error) {
    throw translateRedisError(error);
  }
}

/** Clients that were closed here. */
const closed = new WeakSet<Client>();

/** What ends the calls that wait for an answer of a cluster. */
const waiting = new WeakMap<Client, Set<(error: Error) => void>>();

/** Close a client, and end the calls that wait for an answer. */
export function closeClient(client: Client): void {
  closed.add(client);
  client.disconnect();
  for (const reject of waiting.get(client) ?? []) reject(storeClosed());
}

/** A cluster's client that is closed forgets the calls that it was about to send again: they would wait for ever. */
function untilClosed(cluster: Cluster, reply: Promise<Reply>): Promise<Reply> {
  const calls = waiting.get(cluster) ?? new Set();
  waiting.set(cluster, calls);
  return new Promise((resolve, reject) => {
    calls.add(reject);
    const settled = (): void => void calls.delete(reject);
    reply.then(resolve, reject).then(settled, settled);
  });
}

function encoded(argument: Argument): string | number | Buffer {
  if (typeof argument === "bigint") return String(argument);
  if (typeof argument === "string" || typeof argument === "number") return argument;
  return Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength);
}

/** A reply that has to be a list. */
export function list(reply: Reply | undefined): readonly Reply[] {
  if (!Array.isArray(reply)) throw new TypeError("the leaf store's Redis sent no list where one belongs");
  return reply;
}

/** A reply's text; empty if there is none. */
export function text(reply: Reply | undefined): string {
  if (Buffer.isBuffer(reply)) return reply.toString();
  return typeof reply === "number" ? String(reply) : "";
}

/** A reply's bytes; empty if there are none. */
export function bytes(reply: Reply | undefined): Buffer {
  return Buffer.isBuffer(reply) ? reply : Buffer.alloc(0);
}

const BYTES = 12;
const pool = Buffer.alloc(BYTES * 256);
let used = pool.length;

/**
 * A name for one call of a script, 16 characters. The script keeps the last few of a leaf, so that one that is sent again, because its
 * answer was lost with a connection, does nothing twice.
 */
export function callId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += BYTES;
  return pool.toString("base64url", used - BYTES, used);
}
