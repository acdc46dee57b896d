import { LeafState } from "@serverless-harness/proto/leaf";
import type { StateName } from "../parse.ts";

/** A state's name as the CLI writes it. */
export function stateName(state: LeafState): string {
  return nameOf(LeafState, state);
}

/** The state that the CLI writes so. */
export function stateOf(name: StateName): LeafState {
  return LeafState[name.toUpperCase() as Uppercase<StateName>];
}

/** The name of a value of an enum, in lower case; `unknown` for a number that this version doesn't know. */
export function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return (Object.keys(values).find((name) => values[name] === value) ?? "unknown").toLowerCase();
}
