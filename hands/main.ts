import { runMain } from "@serverless-harness/kit/main";
import { environmentOf, readConfig } from "./config.ts";
import { restartWithMemoryFlags } from "./process/memory-flags.ts";

await runMain(async () => {
  const config = readConfig();
  if (config.sandbox === "bwrap" && !config.jailed) {
    // Before anything else is loaded: what this process knows is gone when the jail takes its place.
    const { enterJail } = await import("./jail/jail.ts");
    enterJail(config);
  }
  if (!config.jailed) restartWithMemoryFlags(environmentOf());
  const { startDaemon } = await import("./daemon/daemon.ts");
  return startDaemon(config);
});
