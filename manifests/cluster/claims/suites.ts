import { join } from "node:path";
import type { Claims } from "../../../scripts/demo/claims.ts";
import { ROOT, TOOL_PATH } from "../../../scripts/run.ts";
import { attempt } from "../command.ts";

/** The tests of other rooms that need a cluster: every `*.cluster.ts`. */
export async function checkSuites(kubeconfig: string, claims: Claims): Promise<void> {
  await claims.check("every test that needs a cluster passes (vitest.cluster.config.ts)", async () => {
    const options = { cwd: ROOT, env: { KUBECONFIG: kubeconfig, NO_COLOR: "1", PATH: TOOL_PATH } };
    const { code, stdout, stderr } = await attempt(
      join(ROOT, "node_modules", ".bin", "vitest"),
      ["run", "--config", "vitest.cluster.config.ts"],
      options,
    );
    const passed = Number(/Tests\s+(\d+) passed/.exec(stdout)?.[1] ?? 0);
    const seen = code === 0 ? `${passed} tests pass` : `${stdout}${stderr}`.trim().split("\n").slice(-30).join("\n  ");
    return { holds: code === 0 && passed > 0, seen, measured: { passed } };
  });
}
