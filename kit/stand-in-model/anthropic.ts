import type { Dialect, Frame } from "./dialect.ts";
import { formatEvent, streamEvents } from "./events.ts";
import { readRequest } from "./request.ts";

const KINDS: Readonly<Record<string, Frame["kind"]>> = { content_block_delta: "piece", message_delta: "end" };

/** Anthropic's Messages API: the one that the rest of the server thinks in. */
export const ANTHROPIC: Dialect = {
  read: readRequest,
  *frames(message, chunkChars) {
    for (const event of streamEvents(message, chunkChars)) yield { text: formatEvent(event), kind: KINDS[event.type] ?? "other" };
  },
  whole: (message) => message,
};
