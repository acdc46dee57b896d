/**
 * What layout 3 adds: messages to leaves, which stand in the log. `unread` names the places there of those that wait to be delivered, oldest first and
 * a line each; `said_ms` is the time of the last one. Both are absent where there are none.
 */
export const LAYOUT_3 = `
ALTER TABLE harness_leaves ADD COLUMN unread TEXT;
ALTER TABLE harness_leaves ADD COLUMN said_ms INTEGER;

UPDATE harness_layout SET version = 3;
`;
