import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { paced, timed } from "../pace.mjs";
import { Samples } from "../report/samples.ts";

describe("measuring", () => {
  test("calls as often as asked, one after the other", async () => {
    let running = 0;
    let most = 0;
    const samples = await paced(5, 1, async () => {
      most = Math.max(most, ++running);
      await setImmediate();
      running--;
    });
    expect([samples.length, most]).toEqual([5, 1]);
    expect(samples.every((ms) => ms > 0)).toBe(true);
  });

  test("ends with the first call that fails", async () => {
    let calls = 0;
    const failing = async (): Promise<void> => {
      if (++calls === 2) throw new Error("no");
    };
    await expect(paced(5, 0, failing)).rejects.toThrow("no");
    expect(calls).toBe(2);
    await expect(timed(() => Promise.reject(new Error("never")))).rejects.toThrow("never");
  });

  test("gathers rounds into one row each and divides medians", () => {
    const samples = new Samples();
    samples.add("echo_ms", [1, 2]);
    samples.add("local_spawn_ms", [4]);
    samples.add("echo_ms", [3]);
    const report = samples.report("exec", { "echo/local_spawn": ["echo_ms", "local_spawn_ms"] });
    expect(report.rows.map(({ metric, p50, n }) => [metric, p50, n])).toEqual([
      ["echo_ms", 2, 3],
      ["local_spawn_ms", 4, 1],
    ]);
    expect(report.ratios).toEqual({ "echo/local_spawn": 0.5 });
  });

  test("refuses a ratio with something that was never measured", () => {
    const samples = new Samples();
    samples.add("echo_ms", [1]);
    expect(() => samples.report("exec", { x: ["echo_ms", "k8s_exec_ms"] })).toThrow("no samples");
  });
});
