/**
 * What layout 4 adds: when an unfinished leaf has to be over, in milliseconds since the Unix epoch; absent where it may take as long as it takes. For leaves
 * that are there already, `deadline_from` (spec, time of submission) is a function of the one who runs this.
 */
export const LAYOUT_4 = `
ALTER TABLE harness_leaves ADD COLUMN deadline_ms INTEGER;
UPDATE harness_leaves SET deadline_ms = deadline_from((SELECT spec FROM harness_specs s WHERE s.n = harness_leaves.n), created_ms);
CREATE INDEX harness_leaves_deadline ON harness_leaves (deadline_ms) WHERE state < 6 AND deadline_ms IS NOT NULL;

UPDATE harness_layout SET version = 4;
`;
