import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ForkSchema, type LeafSpecSchema } from "@serverless-harness/proto/leaf";
import { InvalidArgumentError } from "commander";

/** Options that say which conversation a leaf is a part of. */
export interface SessionOptions {
  readonly session?: string;
  readonly fork?: ForkOption;
}

/** A point in a session. */
export interface ForkOption {
  readonly sessionId: string;
  /** Empty: the newest. */
  readonly entryId: string;
}

/** Reads `SESSION` or `SESSION@ENTRY`: the names of sessions have no @. */
export function forkPoint(text: string): ForkOption {
  const [, sessionId, entryId = ""] = /^([^@]+)(?:@(.+))?$/.exec(text) ?? [];
  if (sessionId === undefined) throw new InvalidArgumentError("It must be a session, or SESSION@ENTRY.");
  return { sessionId, entryId };
}

/** What they come to in a spec. A session that is gone on with has to exist, one that a fork begins must not. */
export function sessionFields({ session, fork }: SessionOptions): MessageInitShape<typeof LeafSpecSchema> {
  if (fork !== undefined) return { sessionId: session ?? "", fork: create(ForkSchema, fork) };
  return session === undefined ? {} : { sessionId: session, sessionMustExist: true };
}
