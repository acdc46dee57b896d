import { isAbsolute } from "node:path";
import type { ChainedLogOptions } from "@serverless-harness/kit/chained-log/writer";
import type { EnvReader } from "@serverless-harness/kit/env";

/** Where it is written down who did what. */
export interface AuditConfig extends ChainedLogOptions {
  /** What becomes of calls that can't be written down: they are refused, or go on with an alarm. */
  readonly whenFull: "refuse" | "go_on";
}

/** Where it is written down who did what, if anywhere. */
export function readAudit(reader: EnvReader): AuditConfig | undefined {
  const path = reader.optional("DISPATCHER_AUDIT_FILE");
  const config = {
    maxBytes: Math.round(reader.number("DISPATCHER_AUDIT_FILE_MB", 50, 0.01, 10_000) * 1e6),
    keepFiles: reader.integer("DISPATCHER_AUDIT_KEEP_FILES", 20, 0, 100_000),
    whenFull: reader.choice("DISPATCHER_AUDIT_WHEN_FULL", "refuse", ["refuse", "go_on"]),
  };
  if (path === undefined) return undefined;
  if (isAbsolute(path)) return { ...config, path };
  reader.problem(`DISPATCHER_AUDIT_FILE is ${JSON.stringify(path)}: it must be an absolute path`);
  return undefined;
}
