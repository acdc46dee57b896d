/** A brain that lives. */
export interface LiveBrain {
  readonly name: string;
  readonly pid: number;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
}

/** Calls that wake brains. */
export interface WakeCounts {
  /** Under way: each lasts for as long as its brain works. */
  readonly inFlight: number;
  /** Those that a brain answered when it was done. */
  readonly answered: number;
  /** Those that were refused, cut or not answered in time. They are made again. */
  readonly failed: number;
}

/** What a waker knows of its brains since it started. */
export interface WakerStatus {
  readonly kind: "local" | "knative" | "keda" | "none";
  readonly brains: readonly LiveBrain[];
  readonly brainsStarted: number;
  /** Those that ended by a signal or with an exit code other than 0, or could not be started. */
  readonly brainsCrashed: number;
  /** Seconds that brains lived, those that live included. */
  readonly brainSeconds: number;
  /** Calls that wake brains, if that is how they are woken. */
  readonly wakes?: WakeCounts;
  /** Brains can't work, so leaves wait: what is wrong, and what to do. */
  readonly problem?: string;
}

/** Makes a brain exist where there is work. One implementation per platform. */
export interface Waker {
  /** Begin to watch the queue, which is the truth: work that others put there is noticed too. */
  start(): void;
  /** Work was queued. A hint that costs nothing: it returns at once, and losing one loses nothing. `reason` is for the log. */
  wake(reason: string): void;
  status(): WakerStatus;
  /** End the brains that it started, in order, and start no more. Idempotent. */
  stop(): Promise<void>;
}
