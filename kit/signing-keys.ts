import type { webcrypto } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, importJWK, type JWK, type JWTVerifyGetKey } from "jose";

/** Algorithm of every key that the system makes: Ed25519 (RFC 8037). */
export const SIGNING_ALGORITHM = "EdDSA";
/** A file of keys is looked at again after so many milliseconds at the earliest, unless whoever opens it says otherwise. */
const LOOK_EVERY_MS = 1000;

/** What a key file holds: a JSON Web Key Set (RFC 7517). The first key signs, all of them verify. */
interface KeySet {
  readonly keys: readonly StandingKey[];
}

/** A key, and from when on it verifies nothing any more, in seconds since the Unix epoch. Absent: it goes on. */
interface StandingKey extends JWK {
  readonly retire_at?: number;
}

/** A key that signs, and its id. */
export interface SigningKey {
  readonly id: string;
  readonly key: webcrypto.CryptoKey;
}

/** A private key file's content with one new key. Whoever reads it can sign: mode 0600. */
export async function createSigningKeys(): Promise<string> {
  return write([await newKey()]);
}

/**
 * Put a new key in front, which signs from now on. The older ones go on to verify for `overlapMs`, unless an earlier rotation said sooner, and are left out once that
 * is over: a token that lives for longer is worthless then.
 */
export async function rotateSigningKeys(privateKeys: string, overlapMs: number, nowMs: number = Date.now()): Promise<string> {
  const retireAt = Math.floor((nowMs + overlapMs) / 1000);
  const standing = parseKeySet(privateKeys).keys.filter((key) => !isRetired(key, nowMs));
  return write([await newKey(), ...standing.map((key) => ({ ...key, retire_at: Math.min(key.retire_at ?? retireAt, retireAt) }))]);
}

/** The public halves of a private key file's keys: what whoever verifies needs. */
export function publicKeysOf(privateKeys: string): string {
  return write(parseKeySet(privateKeys).keys.map(({ d: _, ...half }) => half));
}

/** Keys from a file that may change while the process runs. */
export class KeyFile {
  readonly path: string;
  #stamp = "";
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #signing: SigningKey | undefined;
  #verifying: JWTVerifyGetKey | undefined;
  readonly #lookEveryMs: number;
  #generation = 0;
  /** When the next key retires. */
  #retiresAtMs = Number.POSITIVE_INFINITY;

  /** Reject unless the file holds keys that can be used. */
  static async open(path: string, lookEveryMs = LOOK_EVERY_MS): Promise<KeyFile> {
    const file = new KeyFile(path, lookEveryMs);
    await file.#load();
    return file;
  }

  private constructor(path: string, lookEveryMs: number) {
    this.path = path;
    this.#lookEveryMs = lookEveryMs;
  }

  /** Grows with each change of the file's content: what was verified with older keys is to be verified again. */
  async generation(): Promise<number> {
    await this.#refresh();
    return this.#generation;
  }

  /** The key that signs. Throws if the file holds only public ones. */
  async signing(): Promise<SigningKey> {
    await this.#refresh();
    if (this.#signing === undefined) throw new Error(`${this.path} holds no private key, so it can't sign`);
    return this.#signing;
  }

  /** Finds the key that a token names. */
  readonly verifying: JWTVerifyGetKey = async (header, token) => {
    await this.#refresh();
    if (this.#verifying === undefined) throw new Error("the keys were loaded when the file was opened");
    return this.#verifying(header, token);
  };

  /** Read the file again if it changed. One that can't be used leaves the keys as they are. */
  async #refresh(): Promise<void> {
    if (Date.now() >= this.#retiresAtMs) this.#stamp = "";
    else if (performance.now() - this.#lookedAtMs < this.#lookEveryMs) return;
    await this.#load().catch(() => undefined);
  }

  async #load(): Promise<void> {
    this.#lookedAtMs = performance.now();
    const { mtimeMs, size, ino } = await stat(this.path);
    const stamp = `${mtimeMs} ${size} ${ino}`;
    if (stamp === this.#stamp) return;
    const keySet = parseKeySet(await readFile(this.path, "utf8"));
    const [first] = keySet.keys;
    const signing =
      first?.d === undefined ? undefined : { id: first.kid ?? "", key: (await importJWK(first, SIGNING_ALGORITHM)) as webcrypto.CryptoKey };
    const nowMs = Date.now();
    const standing = keySet.keys.filter((key) => !isRetired(key, nowMs));
    this.#verifying = createLocalJWKSet({ keys: standing.map(({ d: _, ...half }) => half) });
    this.#retiresAtMs = Math.min(...standing.map(retiresAtMs));
    this.#signing = signing;
    this.#stamp = stamp;
    this.#generation++;
  }
}

async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair(SIGNING_ALGORITHM, { crv: "Ed25519", extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: SIGNING_ALGORITHM, use: "sig" };
}

function retiresAtMs({ retire_at: retireAt }: StandingKey): number {
  return retireAt === undefined ? Number.POSITIVE_INFINITY : retireAt * 1000;
}

function isRetired(key: StandingKey, nowMs: number): boolean {
  return retiresAtMs(key) <= nowMs;
}

function write(keys: readonly JWK[]): string {
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

/** Throws an Error that says what is wrong with it, and never shows a part of a key. */
function parseKeySet(text: string): KeySet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('it must be a JSON Web Key Set, as {"keys": [...]}');
  }
  const keys = (value as Partial<KeySet> | null)?.keys;
  if (!Array.isArray(keys) || keys.length === 0) throw new Error('it must be a JSON Web Key Set with a key, as {"keys": [...]}');
  for (const [index, key] of keys.entries()) {
    const { kty, crv, kid, retire_at: retireAt } = (key ?? {}) as StandingKey;
    if (kty !== "OKP" || crv !== "Ed25519") throw new Error(`keys[${index}] must be an Ed25519 key: kty OKP, crv Ed25519`);
    if (typeof kid !== "string" || kid === "") throw new Error(`keys[${index}] must have a kid`);
    if (retireAt !== undefined && !Number.isSafeInteger(retireAt))
      throw new Error(`keys[${index}].retire_at must be whole seconds since 1970`);
  }
  return { keys };
}
