import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatPlot } from "../report/plot.ts";
import { quantileOf, type Report, ratio, row } from "../report/report.ts";
import { formatMarkdown, formatTable } from "../report/table.ts";

const REPORT: Report = {
  name: "exec",
  rows: [row("echo_ms", [1, 2, 3]), row("bulk_mb_s", [100, 200]), row("rss_after_1gb_mb", [80])],
  ratios: { "echo/local_spawn": 0.25, "bulk/pipe": 0.1 },
};

describe("quantiles", () => {
  test("lie between the two nearest samples", () => {
    expect(quantileOf([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantileOf([10, 20], 0.95)).toBeCloseTo(19.5);
    expect(quantileOf([7], 0.99)).toBe(7);
    expect(quantileOf([3, 1, 2], 0)).toBe(1);
    expect(quantileOf([3, 1, 2], 1)).toBe(3);
  });

  test("leave the samples as they were, and refuse to be taken of nothing", () => {
    const samples = [3, 1, 2];
    quantileOf(samples, 0.5);
    expect(samples).toEqual([3, 1, 2]);
    expect(() => quantileOf([], 0.5)).toThrow("no samples");
    expect(() => row("echo_ms", [])).toThrow("no samples");
  });

  test("never leave the samples' range and never fall as the part grows", () => {
    const samples = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });
    const part = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(samples, part, part, (list, a, b) => {
        const [low, high] = [quantileOf(list, Math.min(a, b)), quantileOf(list, Math.max(a, b))];
        expect(low).toBeLessThanOrEqual(high);
        expect(low).toBeGreaterThanOrEqual(Math.min(...list));
        expect(high).toBeLessThanOrEqual(Math.max(...list));
      }),
    );
  });
});

describe("a row", () => {
  test("takes its unit from the metric's name", () => {
    const units = ["echo_ms", "burst_64_per_s", "bulk_mb_s", "rss_after_1gb_mb"].map((metric) => row(metric, [1]).unit);
    expect(units).toEqual(["ms", "per_s", "mb_s", "mb"]);
    expect(() => row("echo", [1])).toThrow("does not end in its unit");
  });

  test("has the bad end at p99, which is the low one of a throughput", () => {
    const samples = Array.from({ length: 101 }, (_, index) => index);
    expect(row("echo_ms", samples)).toEqual({ metric: "echo_ms", p50: 50, p95: 95, p99: 99, unit: "ms", n: 101 });
    expect(row("bulk_mb_s", samples)).toEqual({ metric: "bulk_mb_s", p50: 50, p95: 5, p99: 1, unit: "mb_s", n: 101 });
  });

  test("keeps four digits, of large and of small numbers", () => {
    expect(row("echo_ms", [0.123456]).p50).toBe(0.1235);
    expect(row("burst_64_per_s", [123456]).p50).toBe(123500);
  });
});

describe("a ratio", () => {
  test("is ours divided by the baseline", () => {
    expect(ratio(row("echo_ms", [1, 1, 50]), row("local_spawn_ms", [4, 4, 4]))).toBe(0.25);
    expect(ratio(row("bulk_mb_s", [300]), row("pipe_mb_s", [1200]))).toBe(0.25);
  });

  test("is refused between different units, and with a baseline of nothing", () => {
    expect(() => ratio(row("echo_ms", [1]), row("bulk_mb_s", [1]))).toThrow("don't compare");
    expect(() => ratio(row("echo_ms", [1]), row("local_spawn_ms", [0]))).toThrow("nothing can be divided");
  });
});

describe("the report", () => {
  test("is a table with every row and ratio", () => {
    expect(formatTable(REPORT).split("\n")).toEqual([
      "exec",
      "",
      "metric            p50  p95   p99  unit  n",
      "echo_ms             2  2.9  2.98  ms    3",
      "bulk_mb_s         150  105   101  mb_s  2",
      "rss_after_1gb_mb   80   80    80  mb    1",
      "",
      "ratio (ours / baseline)",
      "echo/local_spawn  0.25",
      "bulk/pipe         0.1",
      "",
    ]);
  });

  test("is a Markdown page with the same figures", () => {
    const page = formatMarkdown(REPORT, "On a machine.");
    expect(page).toContain("| `echo_ms` | 2 | 2.9 | 2.98 | ms | 3 |");
    expect(page).toContain("| `bulk/pipe` | 0.1 |");
    expect(page).toContain("On a machine.");
  });

  test("keeps the JSON shape that other tools read", () => {
    const copy: unknown = JSON.parse(JSON.stringify(REPORT));
    expect(copy).toEqual({
      name: "exec",
      rows: [
        { metric: "echo_ms", p50: 2, p95: 2.9, p99: 2.98, unit: "ms", n: 3 },
        { metric: "bulk_mb_s", p50: 150, p95: 105, p99: 101, unit: "mb_s", n: 2 },
        { metric: "rss_after_1gb_mb", p50: 80, p95: 80, p99: 80, unit: "mb", n: 1 },
      ],
      ratios: { "echo/local_spawn": 0.25, "bulk/pipe": 0.1 },
    });
  });
});

describe("the plot", () => {
  test("is well-formed XML with each metric, its median, and colours for both schemes", () => {
    const svg = formatPlot({ ...REPORT, name: 'a < b & "c"' });
    const open: string[] = [];
    // Whatever stands between two tags must be free of markup, and each end tag must fit the newest open one.
    for (const [, end, name, rest = ""] of svg.matchAll(/<(\/?)([a-z]+)((?:\s[a-z0-9A-Z:-]+="[^"<]*")*\s*\/?)>/g)) {
      if (end === "/") expect(open.pop()).toBe(name);
      else if (!rest.endsWith("/")) open.push(name ?? "");
    }
    expect(open).toEqual([]);
    expect(svg.replaceAll(/<(\/?)([a-z]+)((?:\s[a-z0-9A-Z:-]+="[^"<]*")*\s*\/?)>/g, "")).not.toMatch(/[<>]|&(?!(amp|lt|gt|quot);)/);
    for (const { metric, p50 } of REPORT.rows) {
      expect(svg).toContain(`>${metric}</text>`);
      expect(svg).toContain(`>${p50} `);
    }
    expect(svg).toContain("prefers-color-scheme:dark");
  });

  test("keeps every mark inside its frame, also for zero and for equal values", () => {
    const rows = [row("a_ms", [0, 0, 1000]), row("b_ms", [1, 1]), row("c_per_s", [1]), row("d_mb", [0.001, 1e6])];
    const svg = formatPlot({ name: "edge", rows, ratios: {} });
    const xs = [...svg.matchAll(/ (?:x1|x2|cx|x)="(-?[\d.]+)"/g)].map((match) => Number(match[1]));
    expect(xs.length).toBeGreaterThan(20);
    expect(xs.every((x) => x >= 0 && x <= 720)).toBe(true);
    expect(svg).not.toMatch(/NaN|Infinity/);
  });

  test("draws a row that is zero throughout", () => {
    expect(formatPlot({ name: "zero", rows: [row("a_ms", [0])], ratios: {} })).not.toMatch(/NaN|Infinity/);
  });
});
