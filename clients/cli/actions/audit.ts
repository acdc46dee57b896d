import { existsSync } from "node:fs";
import { type Verdict, verifyLog } from "@serverless-harness/kit/chained-log/verify";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";

/** Does `leaf audit verify`. */
export async function runVerify({ out, paths }: Context, files: readonly string[]): Promise<ExitCode> {
  const verdict = await verify(files.length === 0 ? [paths.auditLog] : files);
  const { broken, lines, end } = verdict;
  if (out.json) out.document({ ok: broken === undefined, ...verdict });
  else if (broken !== undefined) out.warn(`${broken.file} line ${broken.line}: ${broken.problem}`);
  else out.line(`${lines} lines are as they were written${before(verdict)}; the last is ${end.seq}, ${end.hash}`);
  return broken === undefined ? ExitCode.ok : ExitCode.leafFailed;
}

async function verify(files: readonly string[]): Promise<Verdict> {
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) throw new CliError(ExitCode.notFound, "log_not_found", `there is no audit log at ${missing}`);
  try {
    return await verifyLog(files);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CliError(ExitCode.usage, "log_unreadable", `the audit log can't be verified: ${text}`, error);
  }
}

/** What the lines don't prove. */
function before({ firstSeq, removed }: Verdict): string {
  if (firstSeq <= 1) return "";
  return removed
    ? `, from ${firstSeq} on; older ones were removed as the settings say`
    : `, from ${firstSeq} on; older ones were not looked at`;
}
