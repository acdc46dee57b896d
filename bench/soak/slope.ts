/** How a quantity goes on: its mean and its slope, with the slope's standard error. */
export interface Trend {
  readonly mean: number;
  /** Change per hour, in the quantity's unit. */
  readonly perHour: number;
  /** One standard error of `perHour`. */
  readonly error: number;
}

/** One look at a quantity. */
export interface Point {
  /** Milliseconds since any fixed moment. */
  readonly atMs: number;
  readonly value: number;
}

/** Neighbouring samples are alike, so they say less than their number promises: the slope is that of the means of so many blocks. */
const BLOCKS = 12;
const HOUR_MS = 3_600_000;

/** A quantity that changes by less than this part of its mean in an hour is flat, whatever the error says. */
const NEGLIGIBLE = 0.05;
/** Beyond so many standard errors a slope is none by chance (two-sided, 10 degrees of freedom: 1 in 1,000). */
const ERRORS = 4.6;

/** The least-squares line through the means of consecutive blocks of samples. Throws if there are fewer than two samples a block. */
export function trendOf(points: readonly Point[]): Trend {
  if (points.length < 2 * BLOCKS) throw new RangeError(`${points.length} samples are too few for a slope: take ${2 * BLOCKS} or more`);
  const blocks = Array.from({ length: BLOCKS }, (_, block) =>
    points.slice(Math.floor((block * points.length) / BLOCKS), Math.floor(((block + 1) * points.length) / BLOCKS)),
  );
  const xs = blocks.map((block) => mean(block.map(({ atMs }) => atMs)) / HOUR_MS);
  const ys = blocks.map((block) => mean(block.map(({ value }) => value)));
  const [x0, y0] = [mean(xs), mean(ys)];
  const spread = sum(xs.map((x) => (x - x0) ** 2));
  const perHour = sum(xs.map((x, i) => (x - x0) * ((ys[i] ?? 0) - y0))) / spread;
  const residuals = xs.map((x, i) => (ys[i] ?? 0) - y0 - perHour * (x - x0));
  const error = Math.sqrt(sum(residuals.map((r) => r ** 2)) / (BLOCKS - 2) / spread);
  return { mean: y0, perHour, error };
}

/** It grows: by more than chance explains, and by more than anybody would notice. */
export function grows({ mean: level, perHour, error }: Trend): boolean {
  return perHour > ERRORS * error && perHour > NEGLIGIBLE * Math.abs(level);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
