import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { type Finding, time } from "../claims.ts";
import type { World } from "../world.ts";

const SCHEDULE = "demo-every-second";
const FIRES = 2;

/** A schedule of every second that may fire twice: it does so when the seconds come, each fire with a leaf of its own, and then no more. */
export async function scheduled(world: World): Promise<Finding> {
  const command = "Run: echo this is __FIRE__";
  await world.schedules.createSchedule({
    schedule: {
      scheduleId: SCHEDULE,
      cron: "* * * * * *",
      maxFires: BigInt(FIRES),
      spec: { prompt: command, labels: { fire: "__FIRE__" } },
    },
  });
  const schedule = await world.until("the schedule to fire", async () => {
    const found = (await world.schedules.getSchedule({ scheduleId: SCHEDULE })).schedule;
    return found?.fires === BigInt(FIRES) ? found : undefined;
  });
  const fires = [...schedule.recentFires].reverse();
  const leaves = await Promise.all(fires.map(({ leafId }) => world.until("a fire's leaf to end", () => ended(world, leafId))));
  const told = leaves.filter((leaf, i) => leaf.result?.text.includes(`this is ${fires[i]?.fireId}`)).length;
  const late_ms = Math.max(...fires.map(({ atMs, fireMs }) => Number(atMs - fireMs)));
  const done = leaves.filter(({ state }) => state === LeafState.DONE).length;
  await world.schedules.deleteSchedule({ scheduleId: SCHEDULE });
  return {
    holds: fires.length === FIRES && done === FIRES && told === FIRES && schedule.nextFireMs === 0n,
    seen: `${fires.map(({ fireId }) => fireId).join(" and ")} fired, ${time(late_ms)} after their seconds at the most; ${done} of ${FIRES} leaves done, ${told} with the fire's id in their commands; no next fire`,
    measured: { fires: fires.length, done, late_ms },
  };
}

async function ended(world: World, leafId: string): Promise<Leaf | undefined> {
  const { leaf } = await world.leaves.get({ leafId });
  return leaf !== undefined && leaf.state >= LeafState.DONE ? leaf : undefined;
}
