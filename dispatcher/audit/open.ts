import { ChainedLog } from "@serverless-harness/kit/chained-log/writer";
import { ConfigError } from "@serverless-harness/kit/env";
import type { Logger } from "@serverless-harness/kit/log";
import { AuditLog } from "./audit-log.ts";
import type { AuditConfig } from "./config.ts";

/** Open the audit log. `undefined` where there is none. Throws a ConfigError for a file that can't be used. */
export function openAudit(config: AuditConfig | undefined, log: Logger): AuditLog | undefined {
  if (config === undefined) return undefined;
  try {
    return new AuditLog(ChainedLog.open(config), config.whenFull === "refuse", log);
  } catch (error) {
    throw new ConfigError(`DISPATCHER_AUDIT_FILE: ${error instanceof Error ? error.message : error}`);
  }
}
