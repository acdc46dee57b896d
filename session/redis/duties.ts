import type { Database } from "./database.ts";
import { LEAVE_DUTY, TAKE_DUTY } from "./programs.ts";
import { runScript } from "./scripts.ts";

/** Take a duty that nobody has, or keep one. */
export async function takeDuty({ client, names, time }: Database, duty: string, holder: string, ttlMs: number): Promise<boolean> {
  return (await runScript(client, TAKE_DUTY, [names.duty(duty)], [time, holder, ttlMs])) === 1;
}

/** Let go of a duty. */
export async function leaveDuty({ client, names }: Database, duty: string, holder: string): Promise<void> {
  await runScript(client, LEAVE_DUTY, [names.duty(duty)], [holder]);
}
