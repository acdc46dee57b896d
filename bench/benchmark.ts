import type { Report } from "./report/report.ts";

/** How a benchmark is to run. */
export interface BenchmarkOptions {
  /** Fewer measurements: under a minute. */
  readonly quick: boolean;
  /** Start the sandbox's daemon in its jail. */
  readonly jail: boolean;
  /** Tell what goes on, one line each. */
  readonly progress: (line: string) => void;
}

/** Measures something next to its baselines. */
export type Benchmark = (options: BenchmarkOptions) => Promise<Report>;

/** Every benchmark by its name; loaded when it is asked for. */
export const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  exec: async () => (await import("./exec.ts")).exec,
  files: async () => (await import("./files.ts")).files,
  terminal: async () => (await import("./terminal.ts")).terminal,
  session: async () => (await import("./session.ts")).session,
  dispatch: async () => (await import("./dispatch.ts")).dispatch,
  coldstart: async () => (await import("./coldstart.ts")).coldstart,
  economics: async () => (await import("./economics.ts")).economics,
  door: async () => (await import("./door.ts")).door,
  pool: async () => (await import("./pool.ts")).pool,
  density: async () => (await import("./density.ts")).density,
};
