import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { keeperFiles } from "../../process/keeper/files.ts";
import { KeeperLauncher } from "../../process/keeper/launcher.ts";
import type { Launcher } from "../../process/launcher.ts";
import { spec, startSandbox, takeAll } from "../fixtures/sandbox.ts";

const FAILING = fileURLToPath(new URL("../process/keeper/fixtures/lying-keeper.sh", import.meta.url));

/** Its fork server can't be started until it is repaired. */
async function brokenLauncher(): Promise<{ launcher: Launcher; repair(): void }> {
  const directory = await temporaryDirectory();
  const fail = join(directory, "fail");
  writeFileSync(fail, "once\n".repeat(1000));
  const { keeper, zygote } = keeperFiles();
  const launcher = new KeeperLauncher({ keeper: FAILING, zygote, arguments: [keeper, directory] });
  return { launcher, repair: () => writeFileSync(fail, "") };
}

/** One that can't even be asked, as where a directory of the jail can't be made. */
function throwingLauncher(): Launcher {
  return {
    start: () => {
      throw new Error("ENOSPC: no space left on device");
    },
    close: async () => undefined,
  };
}

test("a command that the sandbox can't start is unavailable, was not begun, and runs when it is asked for again", async () => {
  const { launcher, repair } = await brokenLauncher();
  const sandbox = await startSandbox({ launcher });
  const one = spec("echo x >> ran; cat ran");
  const failed = await takeAll(sandbox.client.run({ spec: one })).catch(fromConnectError);
  expect(failed).toMatchObject({
    code: Code.Unavailable,
    reason: "sandbox_unavailable",
    message: expect.stringContaining("nothing was begun"),
  });
  repair();
  const taken = await takeAll(sandbox.client.run({ spec: one }));
  expect(taken).toMatchObject({ attached: false, stdout: "x\n", ended: { cause: EndCause.EXITED } });
});

test("a launcher that throws costs its call, not the daemon", async () => {
  const sandbox = await startSandbox({ launcher: throwingLauncher() });
  const failed = await takeAll(sandbox.client.run({ spec: spec("true") })).catch(fromConnectError);
  expect(failed).toMatchObject({ reason: "sandbox_unavailable", message: expect.stringContaining("ENOSPC") });
});
