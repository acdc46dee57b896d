import type { ChannelRequest } from "@serverless-harness/proto/hands";
import { Channel, type ChannelOptions } from "./channel.ts";

/** Every channel that is open, so that all can be told when hands stops. */
export class Channels {
  readonly #options: ChannelOptions;
  readonly #open = new Set<Channel>();

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  async *serve(requests: AsyncIterable<ChannelRequest>, signal: AbortSignal): ReturnType<Channel["serve"]> {
    const channel = new Channel(this.#options);
    this.#open.add(channel);
    try {
      yield* channel.serve(requests, signal);
    } finally {
      this.#open.delete(channel);
    }
  }

  /** Hands stops: it takes no new execs. */
  goAway(): void {
    for (const channel of this.#open) channel.goAway("hands is stopping: it starts nothing new");
  }
}
