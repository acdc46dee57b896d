import { enableCompileCache } from "node:module";

// In front of everything large, so this file imports nothing by itself: it halves the time to start and takes a quarter off the memory.
enableCompileCache();
const { runMain } = await import("@serverless-harness/kit/main");

await runMain(async () => {
  const { startDispatcher } = await import("./dispatcher.ts");
  return await startDispatcher();
});
