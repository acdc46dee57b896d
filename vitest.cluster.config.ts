import { defineConfig } from "vitest/config";

/** Tests that need a real Kubernetes: `npm run cluster -- test` runs them, with KUBECONFIG set. */
export default defineConfig({
  test: {
    include: ["**/test/**/*.cluster.ts"],
    exclude: ["**/node_modules/**", ".versions/**"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    sequence: { hooks: "stack" },
  },
});
