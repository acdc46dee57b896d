import { Metrics } from "@serverless-harness/kit/metrics";
import { EndCause, EndCauseSchema } from "@serverless-harness/proto/hands";
import type { Channels } from "../channel/channel.ts";
import type { Execs } from "../exec/execs.ts";
import type { EndRecord } from "../journal/record.ts";
import type { Terminals } from "../terminals/terminals.ts";
import type { Workspaces } from "../workspaces/workspaces.ts";

/** What is asked for its size at each scrape. */
export interface Measured {
  readonly execs: Execs;
  readonly channels: Channels;
  readonly terminals: Terminals;
  readonly workspaces: Workspaces;
}

/** The daemon's metrics: what every service has, and what hands holds. */
export class HandsMetrics extends Metrics {
  readonly #ended = this.counter("hands_execs_ended_total", "Execs that ended, by cause.", {
    name: "cause",
    values: EndCauseSchema.values.filter(({ number }) => number !== EndCause.UNSPECIFIED).map(({ localName }) => localName.toLowerCase()),
  });
  readonly #outputBytes = this.counter("hands_exec_output_bytes_total", "Bytes that ended execs wrote to stdout and stderr.");

  readonly countEnd = (end: EndRecord): void => {
    this.#ended.add(1, EndCauseSchema.value[end.cause]?.localName.toLowerCase());
    this.#outputBytes.add(end.totalBytes);
  };

  /** Tell the sizes of these from now on. */
  measure({ execs, channels, terminals, workspaces }: Measured): void {
    this.gauge("hands_execs_open", "Execs that run.", () => execs.openCount());
    this.gauge("hands_channels_open", "Channels that are open.", () => channels.count);
    this.gauge("hands_terminals_open", "Terminals whose program runs.", () => terminals.openCount);
    this.gauge("hands_workspaces", "Workspaces.", () => workspaces.count);
  }
}
