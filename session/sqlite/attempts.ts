import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Attempt, AttemptSchema, type Failure } from "@serverless-harness/proto/leaf";
import type { Bytes, Connection } from "./connection.ts";

const INSERT = "INSERT INTO harness_attempts (n, attempt) VALUES (?, ?)";
const COUNT = "UPDATE harness_leaves SET attempts = attempts + 1 WHERE n = ?";
const READ = "SELECT attempt FROM harness_attempts WHERE n = ? ORDER BY id";
const DELETE = "DELETE FROM harness_attempts WHERE n = ?";

/** Note a failed attempt of a worker, inside the caller's transaction. */
export function noteAttempt(connection: Connection, nowMs: number, n: number, worker: string, failure: Failure): void {
  const attempt = create(AttemptSchema, { endedAtMs: BigInt(Math.floor(nowMs)), worker, failure });
  connection.run(INSERT, n, toBinary(AttemptSchema, attempt));
  connection.run(COUNT, n);
}

/** A leaf's failed attempts, oldest first. */
export function attemptsOf(connection: Connection, n: number): Attempt[] {
  return connection.all<{ attempt: Bytes }>(READ, n).map((row) => fromBinary(AttemptSchema, row.attempt));
}

/** Forget them, inside the caller's transaction. The caller sets the leaf's count. */
export function forgetAttempts(connection: Connection, n: number): void {
  connection.run(DELETE, n);
}
