/** One measured quantity. */
export interface Row {
  /** As `echo_ms`: the name stays, other tools read it. */
  readonly metric: string;
  readonly p50: number;
  /** 95 of 100 measurements are at least as good: for a throughput, that is a lower number than p50. */
  readonly p95: number;
  readonly p99: number;
  /** `ms`, `s`, `per_s`, `mb_s`, `mb`, `entries`, `bytes`. */
  readonly unit: string;
  /** Number of measurements. */
  readonly n: number;
}

/** What a benchmark found, in the form that is written as JSON. */
export interface Report {
  readonly name: string;
  readonly rows: readonly Row[];
  /** `<metric>/<baseline>`: ours divided by the baseline, medians. Below 1 is better for times, above 1 for throughputs. */
  readonly ratios: Readonly<Record<string, number>>;
}

/** Significant digits of a reported number: more would be noise. */
const DIGITS = 4;

/**
 * A row of measurements. The unit is the end of the metric's name; throughputs (`..._per_s`, `..._mb_s`) are better when higher.
 * Throws where there is nothing to report: a benchmark that measured nothing must not look like one that did.
 */
export function row(metric: string, samples: readonly number[]): Row {
  const unit = unitOf(metric);
  const quantile = (q: number): number => round(quantileOf(samples, isThroughput(unit) ? 1 - q : q));
  return { metric, p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), unit, n: samples.length };
}

/** The ratio of two rows' medians. */
export function ratio(ours: Row, baseline: Row): number {
  if (ours.unit !== baseline.unit)
    throw new RangeError(`${ours.metric} (${ours.unit}) and ${baseline.metric} (${baseline.unit}) don't compare`);
  if (!(baseline.p50 > 0)) throw new RangeError(`${baseline.metric} is ${baseline.p50}: nothing can be divided by it`);
  return round(ours.p50 / baseline.p50);
}

/** The value below which a part `q` (0 to 1) of the samples lies, by linear interpolation between the two nearest. */
export function quantileOf(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const low = sorted[Math.floor(position)];
  const high = sorted[Math.ceil(position)];
  if (low === undefined || high === undefined) throw new RangeError("no samples");
  return low + (high - low) * (position - Math.floor(position));
}

/** Higher is better. */
export function isThroughput(unit: string): boolean {
  return unit.endsWith("_s");
}

/** Rounded to as many digits as mean something. */
export function round(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

function unitOf(metric: string): string {
  // Bytes per something are named by that, and brain-seconds by what they were spent on.
  const unit = /^(?:(bytes)_per|brain_(s))_/.exec(metric)?.slice(1).find(Boolean) ?? /_(mb_s|per_s|ms|mb|entries|bytes)$/.exec(metric)?.[1];
  if (unit === undefined) throw new RangeError(`${metric} does not end in its unit`);
  return unit;
}
