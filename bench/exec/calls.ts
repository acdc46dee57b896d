import type { ExecUpdate, WorkspaceClient } from "@serverless-harness/hands/client";
import { newId } from "@serverless-harness/kit/ids";
import { EndCause } from "@serverless-harness/proto/hands";

/** Run `echo hi` and check its output and exit code. */
export async function echo(workspace: WorkspaceClient): Promise<void> {
  let output = "";
  const { ended } = workspace.exec({ execId: newId("bench"), command: { shell: "echo hi" } }, (update) => {
    if (update.kind === "output") output += Buffer.from(update.data).toString();
  });
  const { cause, exitCode, message } = await ended;
  if (cause !== EndCause.EXITED || exitCode !== 0 || output !== "hi\n") {
    throw new Error(`echo ended with cause ${cause}, code ${exitCode} (${message}) and said ${JSON.stringify(output)}`);
  }
}

/** Read that many bytes of a command's output, and check that each arrived once. */
export async function readBytes(workspace: WorkspaceClient, bytes: number): Promise<void> {
  let got = 0;
  const count = (update: ExecUpdate): void => {
    if (update.kind === "output" && update.offset === got) got += update.data.length;
  };
  const { ended } = workspace.exec({ execId: newId("bench"), command: { shell: `head -c ${bytes} /dev/zero` } }, count);
  const { totalBytes } = await ended;
  if (got !== bytes || Number(totalBytes) !== bytes) throw new Error(`${got} of ${bytes} bytes arrived; the sandbox counted ${totalBytes}`);
}

/** Do something while another command of the same channel writes as fast as it can. */
export async function besideBulk<T>(workspace: WorkspaceClient, work: () => Promise<T>): Promise<T> {
  let flows: () => void = () => undefined;
  const flowing = new Promise<void>((resolve) => {
    flows = resolve;
  });
  let before = 0;
  const bulk = workspace.exec({ execId: newId("bulk"), command: { shell: "cat /dev/zero" } }, (update) => {
    if (update.kind !== "output") return;
    before += update.data.length;
    if (before > 1_000_000) flows();
  });
  await Promise.race([flowing, bulk.ended]);
  const started = before;
  const result = await work();
  const flowed = before - started;
  await bulk.cancel();
  const { cause } = await bulk.ended;
  if (cause !== EndCause.CANCELLED || flowed === 0)
    throw new Error(`the bulk output did not flow beside: ${flowed} bytes, end cause ${cause}`);
  return result;
}
