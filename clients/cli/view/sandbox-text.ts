import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { type ListSandboxesResponse, type Placed, type Sandbox, SandboxSchema, type SandboxWish } from "@serverless-harness/proto/leaf";
import type { Colors } from "../output.ts";

/** The head of a table of sandboxes. */
export const SANDBOX_HEADS = ["SANDBOX", "STATE", "WORKING", "PLACED", "LABELS", "TENANT", "WHERE"];

/** The path at which a dispatcher hands calls on to a sandbox that dialled in. */
const RELAYED = /\/v1\/sandboxes\/[^/]+\/rpc$/;

/** A sandbox as the API writes it in JSON. */
export function sandboxJson(sandbox: Sandbox): JsonValue {
  return toJson(SandboxSchema, sandbox);
}

/** The pool as the API writes it in JSON. */
export function poolJson({ sandboxes, nowMs }: ListSandboxesResponse): object {
  return { sandboxes: sandboxes.map(sandboxJson), nowMs: String(nowMs) };
}

/** What a sandbox does with sessions, in a word or two. `nowMs`: by the store's clock. */
export function sandboxState({ aliveUntilMs, draining, working, placed, capacity }: Sandbox, nowMs: bigint): string {
  const isEmpty = working === 0 && placed === 0;
  if (aliveUntilMs < nowMs) return draining ? "away, draining" : "away";
  if (draining) return isEmpty ? "drained" : "draining";
  return capacity > 0 && working >= capacity ? "full" : "there";
}

/** A sandbox as a row of a table. */
export function sandboxRow(sandbox: Sandbox, nowMs: bigint, color: Colors): string[] {
  const { name, working, capacity, placed, labels, tenant, address } = sandbox;
  return [
    name,
    paintSandboxState(sandboxState(sandbox, nowMs), color),
    capacity === 0 ? String(working) : `${working} of ${capacity}`,
    String(placed),
    labelsText(labels),
    tenant,
    color.dim(whereText(address)),
  ];
}

/** A sandbox in a line, for a list of other things. */
export function sandboxLine(sandbox: Sandbox, nowMs: bigint, color: Colors): string {
  const [name, state, working, placed, labels, tenant] = sandboxRow(sandbox, nowMs, color);
  const more = [labels === "" ? [] : [labels], tenant === "" ? [] : [`of tenant ${tenant}`]].flat();
  return [`${name}  ${state}`, `${working} working`, `${placed} placed`, ...more].join("  ");
}

/** What a leaf wants of its sandbox; `undefined` if it takes any. */
export function wishText(wish: SandboxWish | undefined): string | undefined {
  if (wish === undefined) return undefined;
  const near = wish.nearSessionId === "" ? [] : [`near ${wish.nearSessionId}`];
  return [labelsText(wish.labels), ...near].filter((text) => text !== "").join(" ") || undefined;
}

/** Where a session is now, and where it was. */
export function placedText({ sandbox, movedFrom, movedFromIsThere }: Placed): string {
  if (movedFrom === "") return `placed in sandbox ${sandbox}`;
  return `placed in sandbox ${sandbox}; it was in ${movedFrom}${movedFromIsThere ? "" : ", which is away"}`;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function whereText(address: string): string {
  return RELAYED.test(address) ? `dialled in at ${address.replace(RELAYED, "")}` : address;
}

function paintSandboxState(state: string, color: Colors): string {
  if (state === "there") return color.green(state);
  return state.startsWith("away") ? color.red(state) : color.yellow(state);
}
