import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { fromBinary } from "@bufbuild/protobuf";
import { ConfigError } from "@serverless-harness/kit/env";
import { LeafSpecSchema } from "@serverless-harness/proto/leaf";
import { deadlineFrom } from "../contract/leaf.ts";
import { LAYOUT_1 } from "./layout/layout-1.ts";
import { LAYOUT_2 } from "./layout/layout-2.ts";
import { LAYOUT_3, LAYOUT_4, LAYOUT_5, LAYOUT_6, LAYOUT_7, LAYOUT_8, LAYOUT_9, LAYOUT_10, LAYOUT_11 } from "./layout/upgrades.ts";

/** Element n makes layout n + 1 of layout n. A layout that was released never changes again: what is new is another element. */
const STEPS: readonly string[] = [
  LAYOUT_1,
  LAYOUT_2,
  LAYOUT_3,
  LAYOUT_4,
  LAYOUT_5,
  LAYOUT_6,
  LAYOUT_7,
  LAYOUT_8,
  LAYOUT_9,
  LAYOUT_10,
  LAYOUT_11,
];

/** Version of the tables after all of them. */
export const LAYOUT = STEPS.length;

/**
 * Make the tables if they are absent, and bring those of an older layout up to this one, in one transaction. Throws a {@link ConfigError} for
 * a file of a newer layout, or of one that nobody knows: it is never guessed at.
 */
export function applySchema(db: DatabaseSync, path: string): void {
  if (layoutOf(db) === LAYOUT) return;
  db.function("deadline_from", deadlineOfRow);
  db.exec("BEGIN IMMEDIATE");
  try {
    // Another process may have been first.
    const found = layoutOf(db);
    if (found === undefined || found > LAYOUT || (found < 1 && hasLayout(db))) throw refusal(found, path);
    for (const step of STEPS.slice(found)) db.exec(step);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** The deadline of a leaf that an older layout kept, for the step that needs it. */
function deadlineOfRow(spec: SQLOutputValue, createdMs: SQLOutputValue): number | null {
  if (!(spec instanceof Uint8Array)) return null;
  return deadlineFrom(fromBinary(LeafSpecSchema, spec), Number(createdMs)) ?? null;
}

/** The file's layout: 0 if it has none yet, `undefined` if it does not say. */
function layoutOf(db: DatabaseSync): number | undefined {
  if (!hasLayout(db)) return 0;
  const version = db.prepare("SELECT max(version) AS version FROM harness_layout").get()?.["version"];
  return typeof version === "number" ? version : undefined;
}

function hasLayout(db: DatabaseSync): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'harness_layout'").get() !== undefined;
}

function refusal(version: number | undefined, path: string): ConfigError {
  const found = version === undefined ? "an unknown layout" : `layout ${version}`;
  const newer = version !== undefined && version > LAYOUT;
  const advice = newer ? "run the newer version that made it" : "move it and its -id file away to start with an empty store";
  return new ConfigError(`the leaf store ${path} has ${found}, this version knows layout ${LAYOUT}: ${advice}, or name another file`);
}
