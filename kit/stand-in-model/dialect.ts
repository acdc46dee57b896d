import type { ApiMessage } from "./message.ts";
import type { Transcript } from "./transcript.ts";

/** What matters of a request's body. */
export interface MessagesRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly transcript: Transcript;
  /** How many tokens the model may think; 0: none. */
  readonly thinkingTokens: number;
  readonly toolNames: readonly string[];
  /** A rough count. */
  readonly inputTokens: number;
}

/** A piece of a streamed answer as it travels. */
export interface Frame {
  readonly text: string;
  /** `piece`: a piece of the answer; `end`: what says that the answer is whole. */
  readonly kind: "piece" | "end" | "other";
}

/** An API that the server speaks. */
export interface Dialect {
  /** Read a request's body. Throws a 400 that says what is wrong. */
  readonly read: (source: string) => MessagesRequest;
  /** An answer in pieces of `chunkChars` characters. */
  readonly frames: (message: ApiMessage, chunkChars: number) => Iterable<Frame>;
  /** An answer in one piece. */
  readonly whole: (message: ApiMessage) => unknown;
}
