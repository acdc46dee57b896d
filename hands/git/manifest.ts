import { createHmac, timingSafeEqual } from "node:crypto";
import { isLeftOuts, type LeftOuts } from "../fs/left-out.ts";

/** A git bundle in the artifact store. */
export interface Bundle {
  readonly key: string;
  readonly commit: string;
  readonly bytes: number;
  /** Of the whole file, in hex. */
  readonly sha256: string;
  readonly createdAtMs: number;
}

/** What the artifact store knows of a snapshot: written last, so that everything is there once it is. */
export interface Manifest {
  readonly version: 1;
  readonly snapshotId: string;
  readonly tree: string;
  readonly createdAtMs: number;
  /** One with a whole tree and, unless it is that tree, one with the difference to the snapshot's; to be applied in this order. */
  readonly bundles: readonly Bundle[];
  /** The tree of its commit: that tree as `files`, and what no tree of git's can hold as `extras`. Default: `tree` alone. */
  readonly root?: string;
  /** What is not in it, beside what .gitignore excludes. Default: nothing. */
  readonly leftOut?: LeftOuts;
}

const OID = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const MAX_BUNDLES = 2;
const MAX_TIME_MS = 8_640_000_000_000_000;

/** A longer text is no manifest. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;

/** Whose snapshots a manifest is among: it counts for that workspace alone, and with the key of the store's users. */
export interface Signer {
  /** `<tenant>/<session>`. */
  readonly workspace: string;
  readonly key: Uint8Array;
}

/** The text of a manifest: JSON, and below it in hex what only the store's users can tell of that JSON and the workspace. */
export function formatManifest(manifest: Manifest, signer: Signer): Buffer {
  const json = JSON.stringify(manifest);
  return Buffer.from(`${json}\n${signatureOf(json, signer).toString("hex")}\n`);
}

/**
 * Read a manifest; `undefined` if it is none, was not written by a user of the store, or for another workspace. Nothing in it is believed
 * that is not checked here or against what it names.
 */
export function parseManifest(text: string, signer: Signer): Manifest | undefined {
  const [json = "", signature = ""] = text.split("\n");
  const expected = signatureOf(json, signer);
  const given = Buffer.from(signature, "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const value: unknown = JSON.parse(json);
  return isManifest(value) ? value : undefined;
}

function signatureOf(json: string, { workspace, key }: Signer): Buffer {
  return createHmac("sha256", key).update(`harness snapshot of ${workspace}\n${json}`).digest();
}

/** Something that was read describes a snapshot. */
export function isManifest(value: unknown): value is Manifest {
  if (!isRecord(value) || !Array.isArray(value["bundles"])) return false;
  const { version, snapshotId, tree, createdAtMs, bundles, leftOut, root } = value;
  return (
    version === 1 &&
    typeof snapshotId === "string" &&
    isText(tree, OID) &&
    isTime(createdAtMs) &&
    (root === undefined || isText(root, OID)) &&
    (leftOut === undefined || isLeftOuts(leftOut)) &&
    bundles.length > 0 &&
    bundles.length <= MAX_BUNDLES &&
    bundles.every(isBundle)
  );
}

/** Something that was read describes a bundle. */
export function isBundle(value: unknown): value is Bundle {
  if (!isRecord(value)) return false;
  const { key, commit, bytes, sha256, createdAtMs } = value;
  const numbers = Number.isSafeInteger(bytes) && Number(bytes) >= 0 && isTime(createdAtMs);
  return typeof key === "string" && isText(commit, OID) && isText(sha256, SHA256) && numbers;
}

/** Milliseconds since the Unix epoch that a Date can hold. */
function isTime(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TIME_MS;
}

function isText(value: unknown, form: RegExp): boolean {
  return typeof value === "string" && form.test(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
