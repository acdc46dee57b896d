/**
 * Runs the tests and ends with the line `N passed, N failed`. Arguments go to vitest: files, `-t name`, `--bail 1`.
 * Exit code 1 if a test failed, a file could not be loaded, or no test ran.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./run.ts";

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: ReadonlyArray<{ readonly status: string; readonly assertionResults: ReadonlyArray<{ readonly status: string }> }>;
}

const directory = mkdtempSync(join(tmpdir(), "leaf-test-report-"));
const reportFile = join(directory, "report.json");
const vitest = ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`, ...process.argv.slice(2)];
const { code } = await run("vitest", vitest, { show: true });
const { passed, failed } = count(readReport());
rmSync(directory, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = code === 0 && failed === 0 && passed > 0 ? 0 : 1;

function readReport(): Report | undefined {
  try {
    return JSON.parse(readFileSync(reportFile, "utf8")) as Report;
  } catch {
    return undefined;
  }
}

/** A file that could not be loaded, or a run that left no report, counts as one failure: silence is no success. */
function count(report: Report | undefined): { passed: number; failed: number } {
  if (report === undefined) return { passed: 0, failed: 1 };
  const failsItself = (file: Report["testResults"][number]): boolean =>
    file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed");
  return { passed: report.numPassedTests, failed: report.numFailedTests + report.testResults.filter(failsItself).length };
}
