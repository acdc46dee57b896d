import { type Report, ratio, row } from "./report.ts";

/** Collects measurements by metric, over many rounds. */
export class Samples {
  readonly #samples = new Map<string, number[]>();

  /** Add measurements; the metric's name ends in their unit. */
  add(metric: string, values: readonly number[]): void {
    this.#samples.set(metric, [...(this.#samples.get(metric) ?? []), ...values]);
  }

  /** The report: a row per metric in the order of first use. `pairs`: each ratio's name, with our metric and the baseline's. */
  report(name: string, pairs: Readonly<Record<string, readonly [ours: string, baseline: string]>>): Report {
    const rows = [...this.#samples].map(([metric, values]) => row(metric, values));
    const find = (metric: string) => rows.find((candidate) => candidate.metric === metric) ?? row(metric, []);
    const ratios = Object.entries(pairs).map(([key, [ours, baseline]]) => [key, ratio(find(ours), find(baseline))]);
    return { name, rows, ratios: Object.fromEntries(ratios) };
  }
}
