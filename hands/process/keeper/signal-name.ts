import { constants } from "node:os";

const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]));

/** The name of a signal's number. Real-time signals have none in Node: they are told as SIGKILL. */
export function signalName(number: number): NodeJS.Signals {
  return NAMES.get(number) ?? "SIGKILL";
}
