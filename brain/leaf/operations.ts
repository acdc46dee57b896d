import type { OperationLine } from "@serverless-harness/pi-fork";
import type { Leaf } from "@serverless-harness/proto/leaf";

/** So many redrives back a leaf's former operations are looked for. */
const LOOK_BACK = 100;

/**
 * The operations of a leaf in its session's log: one for each redrive that it took to get here, of which some may never have begun. A redrive from the
 * start begins a new line, which goes on from none before it. A leaf that was never redriven has one, of its own id.
 */
export function operationsOf({ leafId, redrives, restarts }: Pick<Leaf, "leafId" | "redrives" | "restarts">): OperationLine {
  const name = (restart: number, redrive: number): string => (redrive === 0 ? leafId : `${leafId}.${restart}.${redrive}`);
  const oldest = Math.max(0, redrives - LOOK_BACK);
  const earlier: string[] = [];
  for (let redrive = redrives - 1; redrive >= Math.max(restarts, oldest); redrive--) earlier.push(name(restarts, redrive));
  const former: string[] = [];
  for (let redrive = oldest; redrive < redrives; redrive++) {
    for (let restart = 0; restart < restarts && restart <= redrive; restart++) former.push(name(restart, redrive));
  }
  return { id: name(restarts, redrives), earlier, former: [...new Set(former)] };
}
