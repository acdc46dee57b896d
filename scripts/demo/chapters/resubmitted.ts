import { randomUUID } from "node:crypto";
import type { Finding } from "../claims.ts";
import type { World } from "../world.ts";

const TIMES = 5;
const COMMAND = "Run: echo once >> runs; wc -l < runs";

/** The same leaf under the same key, several times at once and once more when it is over: there is one, and its command runs once. */
export async function resubmitted(world: World): Promise<Finding> {
  const label = randomUUID();
  const submit = () => world.leaves.submit({ spec: { prompt: COMMAND, labels: { demo: label } }, idempotencyKey: `demo ${label}` });
  const answers = await Promise.all(Array.from({ length: TIMES }, submit));
  const leafId = answers[0]?.leaf?.leafId ?? "";
  let text = "";
  for await (const { event } of world.leaves.watch({ leafId }, { timeoutMs: 25_000 })) {
    if (event?.event.case === "toolEnded") text += event.event.value.text;
  }
  const later = await submit();
  const all = [...answers, later];
  const ids = new Set(all.map(({ leaf }) => leaf?.leafId)).size;
  const created = all.filter((answer) => answer.created).length;
  const listed = (await world.leaves.list({ labels: { demo: label } })).leaves.length;
  const runs = Number(/\d+/.exec(text)?.[0] ?? Number.NaN);
  return {
    holds: ids === 1 && created === 1 && listed === 1 && runs === 1 && !later.created,
    seen: `${all.length} submissions, ${TIMES} of them at once and one when it was over: ${created} made a leaf, ${listed} is listed, its command ran ${runs === 1 ? "once" : `${runs} times`}`,
    measured: { submissions: all.length, created, listed, runs },
  };
}
