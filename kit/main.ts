import { exitCodeOf } from "./env.ts";

/** What a service's `main.ts` starts; `stop` ends it in order. */
export interface Service {
  stop(signal: NodeJS.Signals): Promise<void>;
}

/**
 * Start a service and stop it on SIGTERM or SIGINT; a second signal ends it at once. A failure to start is one line on stderr
 * (a setting that can't be used) or the error with its stack (a defect), and a non-zero exit code.
 */
export async function runMain(start: () => Promise<Service>): Promise<void> {
  // Whoever read our output may die first; a service does not die of it.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  let service: Service;
  try {
    service = await start();
  } catch (error) {
    const code = exitCodeOf(error);
    process.stderr.write(`${code === 64 && error instanceof Error ? error.message : formatDefect(error)}\n`);
    process.exit(code);
  }
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    service.stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${formatDefect(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

function formatDefect(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
