import type { Leaf } from "@serverless-harness/proto/leaf";
import { checkFilesDue } from "../contract/files.ts";
import type { Connection } from "./connection.ts";
import { readLeafByNumber } from "./records.ts";

const INSERT = "INSERT INTO harness_files (n) VALUES (?)";
const DUE = "UPDATE harness_files SET due_ms = ? WHERE n = ?";
const FIND = "SELECT n FROM harness_files WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT ?";
const PUT_OFF = `UPDATE harness_files SET due_ms = ?1 WHERE due_ms IS NOT NULL
  AND n = (SELECT n FROM harness_leaves WHERE leaf_id = ?2)`;
const WRITTEN = `UPDATE harness_files SET due_ms = NULL WHERE n = (SELECT n FROM harness_leaves WHERE leaf_id = ?1 AND last_seq = ?2)`;

/** A leaf has files, inside the caller's transaction. */
export function hasFiles(connection: Connection, n: number): void {
  connection.run(INSERT, n);
}

/** A leaf's files have to be written, if it has any, inside the caller's transaction. */
export function filesAreDue(connection: Connection, nowMs: number, n: number): void {
  connection.run(DUE, nowMs, n);
}

/** Leaves whose files have to be written, the one that waits for longest first. */
export function leavesWithFilesDue(connection: Connection, limit: number): Leaf[] {
  checkFilesDue(limit);
  return connection.all<{ n: number }>(FIND, limit).map(({ n }) => readLeafByNumber(connection, n));
}

/** A leaf's files can't be written now, inside the caller's transaction. */
export function putFilesOff(connection: Connection, nowMs: number, leafId: string): void {
  connection.run(PUT_OFF, nowMs, leafId);
}

/** What a leaf had to show at an event is written, inside the caller's transaction. */
export function filesAreWritten(connection: Connection, leafId: string, seq: bigint): void {
  connection.run(WRITTEN, leafId, seq);
}
