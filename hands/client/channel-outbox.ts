import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ChannelRequestSchema } from "@serverless-harness/proto/hands";

/** A message to hands, as it is written down. */
export type Outgoing = MessageInitShape<typeof ChannelRequestSchema>;

/** What a stream is about to send, in order. One reader: the stream. */
export class Outbox<Message = Outgoing> implements AsyncIterable<Message> {
  readonly #waiting: Message[] = [];
  #news = Promise.withResolvers<void>();
  #isOver = false;

  send(message: Message): void {
    this.#waiting.push(message);
    this.#news.resolve();
  }

  /** Send no more behind what waits. */
  end(): void {
    this.#isOver = true;
    this.#news.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) yield message;
      else if (this.#isOver) return;
      else {
        this.#news = Promise.withResolvers<void>();
        await this.#news.promise;
      }
    }
  }
}
