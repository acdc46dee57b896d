import { defineConfig } from "vitest/config";
import { LongestFirst } from "./scripts/longest-first.ts";

export default defineConfig({
  test: {
    globalSetup: "scripts/test-setup.ts",
    include: ["**/test/**/*.test.ts"],
    exclude: ["**/node_modules/**", ".versions/**"],
    // Tests start real processes, sockets and databases; on a small machine more files at once only make each slower.
    maxWorkers: 2,
    // Only for what hangs: a machine that is busy with other things may take its time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    sequence: { hooks: "stack", sequencer: LongestFirst },
  },
});
