import { enableCompileCache } from "node:module";

// Before anything large is loaded, so this file loads nothing itself: a brain starts for every piece of work.
enableCompileCache();
const { runMain } = await import("@serverless-harness/kit/main");

await runMain(async () => {
  const { checkBrain, startBrain } = await import("./brain.ts");
  if (process.argv[2] === "--check") {
    checkBrain();
    process.exit(0);
  }
  const brain = await startBrain();
  void brain.finished.then((code) => process.exit(code));
  return brain;
});
