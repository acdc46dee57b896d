import { type Action, type Answer, type Leaf, type Rules, type Scope, type World, WRITES, type Write } from "./model.ts";

/** Everything that can happen next. */
export function actionsOf(world: World, scope: Scope): Action[] {
  const actions: Action[] = [];
  const { leaves, claims, dead } = world;
  for (const [leaf, each] of leaves.entries()) {
    if (each.state === "absent" && leaves[leaf - 1]?.state !== "absent") actions.push({ kind: "submit", leaf });
    if (each.state === "running" && !each.due) actions.push({ kind: "expire", leaf });
    if (each.state === "retrying" && !each.due) actions.push({ kind: "comeDue", leaf });
    if (scope.suspend && each.wake === "unsent" && each.state !== "absent") actions.push({ kind: "wake", leaf });
  }
  for (const worker of [0, 1]) {
    if (dead !== worker) actions.push({ kind: "claim", worker });
    if (scope.crash && dead === undefined) actions.push({ kind: "crash", worker });
    actions.push({ kind: "releaseWorker", worker });
    for (const leaf of leaves.keys()) {
      if (claims[worker * 2 + leaf] === 0) continue;
      for (const kind of WRITES) if (scope.suspend || kind !== "suspend") actions.push({ kind, worker, leaf });
    }
  }
  if (world.undo !== undefined) actions.push({ kind: "failover" });
  return actions;
}

/** What the store answers, and the world afterwards. */
export function step(world: World, action: Action, rules: Rules): { world: World; answer: Answer } {
  switch (action.kind) {
    case "submit":
      return changed(world, action.leaf, { state: "queued" });
    case "expire":
    case "comeDue":
      return changed(world, action.leaf, { due: true }, "ok", world.undo);
    case "wake":
      return wake(world, action.leaf, rules);
    case "crash":
      return { world: { ...world, dead: action.worker }, answer: "ok" };
    case "claim":
      return claim(world, action.worker, rules);
    case "releaseWorker":
      return releaseWorker(world, action.worker, rules);
    case "failover":
      return failover(world);
    default:
      return write(world, action.kind, action.worker, action.leaf, rules);
  }
}

function changed(world: World, number: number, fields: Partial<Leaf>, answer: Answer = "ok", undo: World["undo"] = undefined) {
  return { world: { ...world, undo, leaves: world.leaves.map((leaf, i) => (i === number ? { ...leaf, ...fields } : leaf)) }, answer };
}

const LET_GO = { worker: undefined, epoch: 0, due: false } as const;

function claim(world: World, worker: number, rules: Rules) {
  const number = world.leaves.findIndex((leaf, i) => leaf.state !== "absent" && rules.isReady(leaf) && rules.isFirst(world, i));
  const leaf = world.leaves[number];
  if (leaf === undefined) return { world, answer: "nothing" } as const;
  const { session } = leaf;
  const epoch = rules.nextEpoch(world, session);
  const undo = world.failedOver ? undefined : { leaf: number, before: leaf, epoch: world.epochs[session] ?? 0 };
  const taken = changed(world, number, { state: "running", worker, epoch, due: false, lost: false }, "ok", undo).world;
  const next = {
    ...taken,
    epochs: taken.epochs.with(session, epoch),
    issued: taken.issued.with(session, Math.max(epoch, taken.issued[session] ?? 0)),
    claims: taken.claims.with(worker * 2 + number, epoch),
  };
  return { world: next, answer: { leaf: number, epoch, takeover: leaf.state === "running" || leaf.lost } };
}

function write(world: World, kind: Write, worker: number, number: number, rules: Rules) {
  const leaf = world.leaves[number];
  if (leaf === undefined || !rules.owns(world, number, world.claims[worker * 2 + number] ?? 0, kind))
    return { world, answer: "stale" } as const;
  switch (kind) {
    case "heartbeat":
      return changed(world, number, { due: false });
    case "append":
      return changed(world, number, {});
    case "finish":
      return changed(world, number, { ...LET_GO, state: "done" });
    case "retry":
      return changed(world, number, { ...LET_GO, state: "retrying" });
    case "release":
      return changed(world, number, { ...LET_GO, state: "suspended" });
    case "suspend": {
      // It waits for its wake the first time, and for nothing after that.
      if (leaf.waited) return changed(world, number, { ...LET_GO, state: "suspended" });
      const woken = rules.looksForWake && leaf.wake === "kept";
      return changed(world, number, { ...LET_GO, state: "suspended", waited: true, waits: !woken, wake: woken ? "used" : leaf.wake });
    }
  }
}

function wake(world: World, number: number, rules: Rules) {
  const leaf = world.leaves[number];
  if (leaf === undefined || leaf.state === "done") return changed(world, number, { wake: "used" }, false, world.undo);
  if (leaf.waits) return changed(world, number, { waits: false, wake: "used" }, true);
  return changed(world, number, { wake: rules.keptWake }, true);
}

function releaseWorker(world: World, worker: number, rules: Rules) {
  const held = world.leaves.map((leaf) => rules.isLost(leaf, worker));
  const leaves = world.leaves.map((leaf, i) => (held[i] ? { ...leaf, ...LET_GO, state: "suspended" as const, lost: true } : leaf));
  const count = held.filter(Boolean).length;
  return { world: count === 0 ? world : { ...world, leaves, undo: undefined }, answer: count };
}

/** Another server takes over, that did not hear of the last claim. */
function failover(world: World) {
  if (world.undo === undefined) return { world, answer: "nothing" } as const;
  const { leaf, before, epoch } = world.undo;
  const next = changed(world, leaf, before).world;
  return { world: { ...next, failedOver: true, epochs: next.epochs.with(before.session, epoch) }, answer: "ok" } as const;
}
