import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { LeafEventSchema, MessageMode } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { newsText } from "../view/event-text.ts";

type Event = NonNullable<MessageInitShape<typeof LeafEventSchema>["event"]>;

const EVENTS: ReadonlyArray<readonly [event: Event, line: string | undefined]> = [
  [
    { case: "messageReceived", value: { message: { messageId: "m", text: "mind\u001b[31m the gap\nand more", sentBy: "ann" } } },
    "message m by ann: mind␛[31m the gap",
  ],
  [
    { case: "messageReceived", value: { message: { messageId: "m", mode: MessageMode.FOLLOW_UP, text: "then" } } },
    "message m, to follow up: then",
  ],
  [{ case: "messageDelivered", value: { messageId: "m" } }, "message m delivered"],
  [
    { case: "compacted", value: { tokensBefore: 90_000n, reason: "threshold" } },
    "summed the conversation up: 90000 tokens before, threshold",
  ],
  [{ case: "snapshotTaken", value: { snapshotId: "leaf_1.2" } }, "stored the workspace: snapshot leaf_1.2"],
  [
    { case: "workspaceRestored", value: { snapshotId: "leaf_1.2", behind: true } },
    "the workspace was lost: restored from snapshot leaf_1.2; the latest changes are gone",
  ],
  [{ case: "workspaceRestored", value: {} }, "the workspace was lost: made again without files, as there was no snapshot"],
  [{ case: "placed", value: { sandbox: "b" } }, "placed in sandbox b"],
  [{ case: "placed", value: { sandbox: "b", movedFrom: "a", movedFromIsThere: true } }, "placed in sandbox b; it was in a"],
  [{ case: "placed", value: { sandbox: "b", movedFrom: "a" } }, "placed in sandbox b; it was in a, which is away"],
  [{ case: "toolOutput", value: { text: "x" } }, undefined],
];

test.each(EVENTS)("%o is told in a line", (event, line) => {
  expect(newsText(create(LeafEventSchema, { event }))).toBe(line);
});
