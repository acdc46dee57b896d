import type { VersionStatus } from "../stack/status.ts";

/** That another version runs than the checkout has, and what to do. */
export function outdatedText({ running, checkout }: VersionStatus): string {
  const has = checkout === null ? "sources that are newer" : `version ${checkout}`;
  const runs = running === null ? "one that was started from the checkout itself" : running;
  return `${runs} runs, the checkout has ${has}: \`leaf up --restart\` suspends what is at work and starts it`;
}
