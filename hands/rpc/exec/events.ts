import type { ExecEvent } from "@serverless-harness/proto/hands";
import type { Exec } from "../../exec/exec.ts";
import { Follower } from "../../exec/follower.ts";
import type { CaptureRecord } from "../../journal/record.ts";

/** How a stream of events reads an exec. */
export interface EventOptions {
  readonly fromOffset: number;
  readonly capture: CaptureRecord | undefined;
  readonly attached: boolean;
  /** The client is gone. */
  readonly signal: AbortSignal;
}

/** The events of an exec to its end, as fast as they are taken. */
export async function* eventsOf(exec: Exec, options: EventOptions): AsyncGenerator<ExecEvent> {
  let news = Promise.withResolvers<void>();
  const wake = (): void => news.resolve();
  const { fromOffset, capture, attached, signal } = options;
  const follower = new Follower(exec, { fromOffset, capture, attached, credit: Number.POSITIVE_INFINITY, wake });
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted && !follower.done) {
      news = Promise.withResolvers<void>();
      const event = follower.poll();
      if (event === undefined) await news.promise;
      else yield event;
    }
  } finally {
    signal.removeEventListener("abort", wake);
    follower.close();
  }
}
