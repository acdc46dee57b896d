import { createServer } from "node:net";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";

/** Throw where another process listens on this port of the loopback interface, or it can't be had. Port 0 is always free. */
export async function requireFreePort(port: number): Promise<void> {
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const probe = createServer();
    probe.once("error", resolve);
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(undefined)));
  });
  if (problem === undefined) return;
  const why = problem.code === "EADDRINUSE" ? "is in use by another process" : `can't be used (${problem.code})`;
  throw new CliError(
    ExitCode.refused,
    "port_in_use",
    `port ${port} ${why}: choose another with --port, as \`leaf up --port ${alternative(port)}\``,
  );
}

function alternative(port: number): number {
  return port < 1024 || port >= 65535 ? 7433 : port + 1;
}
