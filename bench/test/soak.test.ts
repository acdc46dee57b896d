import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { formatChart } from "../soak/chart.ts";
import { formatRows, formatSoakMarkdown, report, type SoakReport, verdict } from "../soak/report.ts";
import { QUANTITIES, type Sample } from "../soak/sampler.ts";
import { grows, trendOf } from "../soak/slope.ts";
import { STORES } from "../soak/soak.ts";

const MAIN = fileURLToPath(new URL("../soak/main.ts", import.meta.url));
const MINUTE = 60_000;

/** An hour of one sample a minute. */
const hourOf = (value: (minute: number) => number) => Array.from({ length: 60 }, (_, i) => ({ atMs: i * MINUTE, value: value(i) }));

describe("a trend", () => {
  test("has the slope of a straight line, without error", () => {
    const { mean, perHour, error } = trendOf(hourOf((minute) => 100 + minute));
    expect([mean, perHour]).toEqual([expect.closeTo(129.5), expect.closeTo(60)]);
    expect(error).toBeCloseTo(0);
  });

  test("that rises through noise grows; noise alone, a fall and what nobody would notice do not", () => {
    const noise = (minute: number): number => 5 * Math.sin(minute * 12.9898);
    expect(grows(trendOf(hourOf((minute) => 100 + minute + noise(minute))))).toBe(true);
    expect(grows(trendOf(hourOf((minute) => 100 + noise(minute))))).toBe(false);
    expect(grows(trendOf(hourOf((minute) => 200 - minute)))).toBe(false);
    expect(grows(trendOf(hourOf((minute) => 1000 + minute / 60)))).toBe(false);
  });

  test("of a quantity that is zero all the time is flat", () => {
    expect(grows(trendOf(hourOf(() => 0)))).toBe(false);
  });

  test("of too few samples is refused", () => {
    expect(() => trendOf(hourOf(() => 1).slice(0, 20))).toThrow("20 samples are too few");
  });
});

describe("a report", () => {
  const values = (each: (quantity: string) => number) => Object.fromEntries(QUANTITIES.map((quantity) => [quantity, each(quantity)]));
  const samples = hourOf((minute) => minute).map(
    ({ atMs, value }): Sample => ({
      atMs,
      values: values((quantity) => (quantity === "hands_rss_mb" ? 80 + value : 10)) as Sample["values"],
    }),
  );
  const found = report("sqlite", 60, { leaves: 7, sessions: 2 }, samples);

  test("names what grows, in a line, a table, Markdown and red in the plot", () => {
    expect(verdict(found)).toBe("soak: store=sqlite minutes=60 leaves=7 sessions=2 grows: hands_rss_mb");
    expect(formatRows(found)).toMatch(/^hands_rss_mb +119 +\+60 .* grows$/m);
    expect(formatSoakMarkdown(found, "About.")).toContain("| `hands_rss_mb` | 119 | 60 |");
    expect(formatChart(found).match(/class="line up"/g)).toHaveLength(1);
    expect(formatChart(found).match(/<polyline/g)).toHaveLength(QUANTITIES.length);
  });

  test("leaves the warm-up out", () => {
    const warm = samples.map((sample) =>
      sample.atMs < 20 * MINUTE ? sample : { ...sample, values: values(() => 10) as Sample["values"] },
    );
    expect(verdict(report("redis", 60, { leaves: 1, sessions: 1 }, warm))).toMatch(/ flat$/);
  });
});

describe("npm run soak", () => {
  function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      execFile(process.execPath, [MAIN, ...args], { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }

  test.each(STORES)("runs leaves on %s and samples everything, whatever a few seconds say of growth", async (store) => {
    const { code, stdout, stderr } = await run("--minutes", "0.1", "--store", store, "--json", "-", "--no-jail");
    expect({ code, stderr }).toEqual({
      code: expect.toSatisfy((value) => value === 0 || value === 1),
      stderr: expect.stringContaining("100 %"),
    });
    const found = JSON.parse(stdout) as SoakReport;
    expect(found.leaves).toBeGreaterThan(0);
    expect(found.samples).toHaveLength(360);
    const last = found.samples.at(-1)?.values;
    for (const quantity of [
      "dispatcher_rss_mb",
      "hands_rss_mb",
      "model_rss_mb",
      "hands_descriptors",
      "store_mb",
      "sandbox_disk_mb",
    ] as const)
      expect(last?.[quantity], quantity).toBeGreaterThan(0);
  });

  test.each([
    [["--minutes", "0"], "--minutes is 0"],
    [["--store", "paper"], "--store is paper: it must be sqlite or redis"],
    [["--bogus"], "--bogus"],
  ])("refuses %j", async (args, message) => {
    const { code, stderr } = await run(...args);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringContaining(message) });
  });
});

test("the README names every quantity", async () => {
  const { readFile } = await import("node:fs/promises");
  const readme = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
  for (const quantity of QUANTITIES) expect(readme).toContain(`\`${quantity}\``);
});
