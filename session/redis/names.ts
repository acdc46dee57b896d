import { crc32 } from "node:zlib";
import { newId } from "@serverless-harness/kit/ids";
import { pairOfPageToken } from "../contract/page-token.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LEAF_ID = /^leaf_[0-9a-hjkmnp-tv-z]{24}([0-9a-hjkmnp-tv-z]{2})$/;

/** How a store's keys are named, and what is in which partition. */
export class Names {
  readonly prefix: string;
  readonly partitions: number;

  constructor(prefix: string, partitions: number) {
    this.prefix = prefix;
    this.partitions = partitions;
  }

  /** The number of each partition. */
  all(): number[] {
    return Array.from({ length: this.partitions }, (_, i) => i);
  }

  /** What every key of a partition begins with: its hash tag, which puts all of them into one slot of a cluster. */
  base(partition: number): string {
    return `{${this.prefix}:${partition}}`;
  }

  /** The partition that a session, named as {@link sessionName} does, and all that belongs to it, is in. */
  partitionOf(session: string): number {
    return crc32(session) % this.partitions;
  }

  /** A new leaf's id; its last two characters name its partition. */
  newLeafId(partition: number): string {
    return newId("leaf").slice(0, -2) + ALPHABET.charAt(partition >> 5) + ALPHABET.charAt(partition & 31);
  }

  /** The partition of a leaf, or `undefined` if the id is none of this store's. */
  partitionOfLeaf(leafId: string): number | undefined {
    const end = LEAF_ID.exec(leafId)?.[1];
    if (end === undefined) return undefined;
    const partition = ALPHABET.indexOf(end.charAt(0)) * 32 + ALPHABET.indexOf(end.charAt(1));
    return partition < this.partitions ? partition : undefined;
  }

  /** Key of an idempotency key, named as {@link idempotencyName} does; it stands alone, in a slot of its own. */
  idempotency(name: string): string {
    return `${this.prefix}:idempotency:${name}`;
  }

  /** Key of the store's version and number of partitions. */
  get layout(): string {
    return `${this.prefix}:layout`;
  }

  /** What every key of the index of tenants begins with: a hash tag of its own. */
  get index(): string {
    return `{${this.prefix}:index}`;
  }

  /** What every key of a schedule begins with: a hash tag of its own. */
  get schedules(): string {
    return `{${this.prefix}:schedules}`;
  }

  /** What every key of a token begins with: a hash tag of its own. */
  get tokens(): string {
    return `{${this.prefix}:tokens}`;
  }

  /** What every key of the pool of sandboxes begins with: a hash tag of its own. */
  get sandboxes(): string {
    return `{${this.prefix}:sandboxes}`;
  }

  /** Channel that is told when something may have become ready. */
  get workChannel(): string {
    return `${this.prefix}:work`;
  }

  /** Channel that is told when a tenant has nothing ready and nothing that runs any more. */
  get idleChannel(): string {
    return `${this.prefix}:idle`;
  }

  /** Channel that is told when somebody outside is to be told something. */
  get noticeChannel(): string {
    return `${this.prefix}:notice`;
  }

  /** Key of what one process does for all; it stands alone, in a slot of its own. */
  duty(duty: string): string {
    return `${this.prefix}:duty:${encode(duty)}`;
  }

  /** Channel that is told when somebody wants something of a leaf. */
  wishChannel(leafId: string): string {
    return `${this.prefix}:wish:${leafId}`;
  }

  /** Channel that is told of a leaf's events. */
  leafChannel(leafId: string): string {
    return `${this.prefix}:leaf:${leafId}`;
  }
}

/** A session's name in keys. Whatever its parts hold, no two sessions share one. */
export function sessionName(tenant: string, sessionId: string): string {
  return `${encode(tenant)}/${encode(sessionId)}`;
}

/** What {@link sessionName} made of a session. */
export function nameParts(name: string): { tenant: string; sessionId: string } {
  const [tenant = "", sessionId = ""] = name.split("/").map(decodeURIComponent);
  return { tenant, sessionId };
}

/** An idempotency key's name in keys: of a tenant's own. */
export function idempotencyName(tenant: string, key: string): string {
  return `${encode(tenant)}/${encode(key)}`;
}

/** A text as a part of a key: without separators, line breaks and braces. */
export function encode(part: string): string {
  return encodeURIComponent(part);
}

/** The name in keys of what has an id within its tenant: names are in the order of tenants and ids, since a space stands before all that either holds. */
export function pairName(tenant: string, id: string): string {
  return `${encode(tenant)} ${encode(id)}`;
}

/** The names of a tenant's things, or of all, after those that an earlier page ended with: lowest and highest, as ZRANGE BYLEX takes them. */
export function pairRange(tenant: string | undefined, pageToken: string | undefined): [lowest: string, highest: string] {
  const first = tenant === undefined ? "-" : `[${encode(tenant)} `;
  // The exclamation mark is what comes after the space.
  const highest = tenant === undefined ? "+" : `(${encode(tenant)}!`;
  return [pageToken ? `(${pairName(...pairOfPageToken(pageToken, tenant))}` : first, highest];
}
