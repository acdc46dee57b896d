/** A git bundle in the artifact store. */
export interface Bundle {
  /** Key of the artifact. */
  readonly key: string;
  /** The commit that it brings. */
  readonly commit: string;
  readonly bytes: number;
  /** Of the whole file, in hex. */
  readonly sha256: string;
  readonly createdAtMs: number;
}

/** What the artifact store knows of a snapshot: written last, so that where it is, everything is. */
export interface Manifest {
  readonly version: 1;
  readonly snapshotId: string;
  /** The tree that it holds. */
  readonly tree: string;
  readonly createdAtMs: number;
  /** One with a whole tree and, unless it is that tree, one with the difference to the snapshot's; to be applied in this order. */
  readonly bundles: readonly Bundle[];
}

const OID = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const MAX_BUNDLES = 2;

/** The text of a manifest. */
export function formatManifest(manifest: Manifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest)}\n`);
}

/** Read a manifest; `undefined` where it is none. Nothing in it is believed that is not checked here or against what it names. */
export function parseManifest(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isManifest(value) ? value : undefined;
}

/** Something that was read describes a snapshot. */
export function isManifest(value: unknown): value is Manifest {
  if (!isRecord(value) || !Array.isArray(value["bundles"])) return false;
  const { version, snapshotId, tree, createdAtMs, bundles } = value;
  return (
    version === 1 &&
    typeof snapshotId === "string" &&
    isText(tree, OID) &&
    typeof createdAtMs === "number" &&
    bundles.length > 0 &&
    bundles.length <= MAX_BUNDLES &&
    bundles.every(isBundle)
  );
}

/** Something that was read describes a bundle. */
export function isBundle(value: unknown): value is Bundle {
  if (!isRecord(value)) return false;
  const { key, commit, bytes, sha256, createdAtMs } = value;
  const numbers = Number.isSafeInteger(bytes) && Number(bytes) >= 0 && typeof createdAtMs === "number";
  return typeof key === "string" && isText(commit, OID) && isText(sha256, SHA256) && numbers;
}

function isText(value: unknown, form: RegExp): boolean {
  return typeof value === "string" && form.test(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
