import { toBinary } from "@bufbuild/protobuf";
import { type LeafMessage, LeafMessageSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../contract/claim.ts";
import { deadlinePassed, leafEnded, leafNotFound, tooManyMessages } from "../contract/errors.ts";
import { asSent, assertSameMessage, MAX_UNREAD, type NewMessage, requireMessage } from "../contract/messages.ts";
import type { Database } from "./database.ts";
import { messagesOf } from "./events.ts";
import { runOwned } from "./outcome.ts";
import { text } from "./scripts.ts";
import type { Signals } from "./signals.ts";

/** Take a message in, or find the one that its id stands for. */
export async function sendMessage(database: Database, leafId: string, message: NewMessage): Promise<LeafMessage> {
  requireMessage(message);
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) throw leafNotFound();
  const bytes = toBinary(LeafMessageSchema, asSent(message));
  const [word, found] = await database.change("send", partition, leafId, message.messageId, bytes, MAX_UNREAD);
  if (text(word) === "NO_LEAF") throw leafNotFound();
  if (text(word) === "ENDED") throw leafEnded();
  if (text(word) === "TOO_LATE") throw deadlinePassed();
  if (text(word) === "TOO_MANY") throw tooManyMessages(MAX_UNREAD);
  const [sent] = messagesOf(found === undefined ? undefined : [found]);
  if (sent === undefined) throw new Error(`the leaf store's Redis took a message to leaf ${leafId} and did not return it`);
  assertSameMessage(sent, message);
  return sent;
}

/** Take messages out of the claimed leaf's record. */
export async function markDelivered(database: Database, claim: Claim, messageIds: readonly string[]): Promise<void> {
  await runOwned(database, "delivered", claim, ...messageIds);
}

/** Call `onWish` when something is wanted of a leaf, until `signal` aborts or `isClosed` says that the store is. Never rejects. */
export async function listenTo(
  { names }: Database,
  signals: Signals,
  leafId: string,
  signal: AbortSignal,
  onWish: () => void,
  isClosed: () => boolean,
): Promise<void> {
  if (signal.aborted) return;
  const subscription = await signals.subscribe(names.wishChannel(leafId), true);
  while (!signal.aborted && !isClosed()) {
    await subscription.wait(signal);
    if (!signal.aborted && !isClosed()) onWish();
  }
  subscription.close();
}
