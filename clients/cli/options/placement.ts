import { create } from "@bufbuild/protobuf";
import { type SandboxWish, SandboxWishSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { labels, said } from "./values.ts";

/** Options that say in which sandbox of the pool a leaf works. */
export interface PlacementOptions {
  readonly sandboxLabel?: Record<string, string>;
  readonly near?: string;
}

/** Add {@link PlacementOptions} to a command. */
export function addPlacementOptions(command: Command): Command {
  return command
    .option("--sandbox-label <key=value>", "work in a sandbox of the pool with this label, as gpu=a100; may be repeated", labels)
    .option("--near <session>", "begin a new session in the sandbox of this one, if that has room");
}

/** The wish in a spec; what the user did not say is as it was `before`. */
export function placementFields({ sandboxLabel, near }: PlacementOptions, before?: SandboxWish): { sandbox?: SandboxWish } {
  if (sandboxLabel === undefined && near === undefined) return {};
  const wish = before ?? create(SandboxWishSchema);
  return { sandbox: { ...wish, ...said({ labels: sandboxLabel, nearSessionId: near }) } };
}
