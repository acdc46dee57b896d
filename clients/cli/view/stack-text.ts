import type { LifeStatus } from "../stack/record.ts";
import type { VersionStatus } from "../stack/versions.ts";
import { ago, counted, firstLine } from "./format.ts";

const MAX_LINE = 300;

/** What is remarkable about the life of a service, a line each. */
export function lifeLines(name: string, life: LifeStatus): string[] {
  if (life.gaveUp) return [`gave up     ${gaveUpText(name, life)}`];
  const { restarts, lastEnd, lastEndMs, watched } = life;
  const last = `the last time ${ago(lastEndMs)} ago (${lastEnd})`;
  return [
    ...(restarts === 0 ? [] : [`restarts    ${name} died and was started again ${counted(restarts, "time")}, ${last}`]),
    ...(watched || life.ended
      ? []
      : [`unwatched   nobody starts ${name} again if it dies, as its watcher is gone: \`leaf up\` starts both again`]),
  ];
}

/** That a service is not started again, and why. */
export function gaveUpText(name: string, { restarts, lastEnd, lastLine }: LifeStatus): string {
  const said = lastLine === undefined ? "it wrote no line" : `its last line: ${firstLine(lastLine, MAX_LINE)}`;
  return `${name} was started again ${counted(restarts, "time")} and is given up (${lastEnd}); ${said}`;
}

/** That the checkout has another version than the one that runs, and what to do. */
export function outdatedText({ running, checkout }: VersionStatus): string {
  const has = checkout === null ? "sources that are newer" : `version ${checkout}`;
  const runs = running === null ? "one that was started from the checkout itself" : running;
  return `${runs} runs, the checkout has ${has}: \`leaf up --restart\` suspends what is at work and starts it`;
}
