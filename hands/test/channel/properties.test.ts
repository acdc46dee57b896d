import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createTransport } from "@serverless-harness/kit/transport";
import { EndCause, ExecService } from "@serverless-harness/proto/hands";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";
import { Driver, type Step } from "./driver.ts";
import { KINDS, type Kind, ModelExec } from "./model.ts";

/** `HANDS_TEST_RUNS`: more of them, for a longer look. */
const RUNS = Number(process.env["HANDS_TEST_RUNS"] ?? 150);
const ALL = 1 << 30;

const anyKinds = fc.array(fc.constantFrom<Kind>(...KINDS), { minLength: 2, maxLength: 4 });
const anyStep: fc.Arbitrary<Step> = fc.record({
  what: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom<Step["what"]>("run", "attach", "credit", "stdin") },
    { weight: 5, arbitrary: fc.constantFrom<Step["what"]>("detach", "settle", "cut", "reuse") },
    { weight: 2, arbitrary: fc.constantFrom<Step["what"]>("closeStdin", "signal", "cancel") },
  ),
  exec: fc.nat(3),
  n: fc.oneof(fc.nat(20), fc.nat(3000), fc.nat(1_000_000)),
});

/** What was asked for is brought to its end and read once more, from the first byte to the last. */
async function finish(driver: Driver, execs: readonly ModelExec[]): Promise<void> {
  await driver.until(() => execs.every(({ reading }) => reading.state !== "opening"));
  await driver.cut();
  for (const exec of execs) driver.attach(exec, 0, ALL);
  await driver.until(() => execs.every(({ reading }) => reading.state !== "opening"));
  for (const exec of execs) {
    if (exec.kind === "read" && exec.reading.state === "open") await driver.closeStdin(exec);
    if (exec.wasSeen && (exec.kind === "sleep" || exec.kind === "stay")) await driver.cancel(exec);
  }
  await driver.until(() => execs.every(({ reading }) => reading.state === "closed"));
}

/** The end must be one, and the one that what was sent explains. */
function checkEnd(exec: ModelExec): void {
  expect([...exec.ends], exec.marker).toHaveLength(1);
  const end = JSON.parse([...exec.ends][0] ?? "") as { cause: EndCause; exitCode: number; signal: string };
  const possible: EndCause[] = exec.exitCode > 0 ? [EndCause.EXITED] : [];
  if (exec.sent.signal) possible.push(EndCause.SIGNALED);
  if (exec.sent.cancel) possible.push(EndCause.CANCELLED);
  expect(possible, exec.marker).toContain(end.cause);
  if (end.cause === EndCause.EXITED) expect(end, exec.marker).toMatchObject({ exitCode: exec.exitCode, signal: "" });
  if (end.cause === EndCause.SIGNALED) expect(end, exec.marker).toMatchObject({ exitCode: 143, signal: "SIGTERM" });
  exec.checkText(end.cause === EndCause.EXITED);
}

test("whatever is asked in whatever order, every byte comes once and in order, and every exec runs once and ends once", {
  timeout: 20_000 + RUNS * 1000,
}, async () => {
  const daemon = await startDaemon();
  await daemon.connect();
  const address = { kind: "unix", path: join(daemon.base, "socket", "hands.sock") } as const;
  const fileOf = (name: string): string => join(daemon.base, "workspaces", WORKSPACE, name);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(anyKinds, fc.array(anyStep, { minLength: 5, maxLength: 60 }), async (kinds, steps) => {
      const prefix = `run${run++}`;
      const execs = kinds.map((kind, i) => new ModelExec(prefix, i, kind));
      // A connection of its own: an HTTP/2 server closes one on which too many streams were cut.
      const transport = createTransport({ address, token: daemon.token });
      onTestFinished(() => transport.close());
      const driver = new Driver({ client: createClient(ExecService, transport) }, execs);
      for (const step of steps) {
        const exec = execs[step.exec % execs.length];
        if (exec !== undefined) await driver.take(step, exec);
      }
      await finish(
        driver,
        execs.filter(({ wasAsked }) => wasAsked),
      );
      await driver.stop();
      transport.close();
      for (const exec of execs) {
        // A run that a cut overtook may never have come.
        if (exec.wasSeen) checkEnd(exec);
        const ran = fileOf(`ran.${exec.marker}`);
        expect(exec.possibleMarks(), exec.marker).toContain(existsSync(ran) ? readFileSync(ran, "utf8") : "");
        expect(existsSync(fileOf(`reused.${exec.marker}`)), exec.marker).toBe(false);
      }
    }),
    { numRuns: RUNS, endOnFailure: RUNS > 150 },
  );
});
