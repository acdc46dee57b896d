import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { fullJitter } from "../backoff.ts";
import { newId } from "../ids.ts";
import { childrenOf, commandLine, isSameProcess, pidNamespace, processStartTicks, residentBytes } from "../proc.ts";

describe("full jitter", () => {
  it("doubles its ceiling up to the maximum and takes a random part of it", () => {
    const ceilings = [1, 2, 3, 4, 5, 400].map((attempt) => fullJitter(attempt, 100, 1_000, () => 1));
    expect(ceilings).toEqual([100, 200, 400, 800, 1_000, 1_000]);
    expect(fullJitter(3, 100, 1_000, () => 0.25)).toBe(100);
  });
});

describe("ids", () => {
  it("sort by time and don't repeat", () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => newId("leaf", 1_700_000_000_000 + i));
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(Array.from({ length: 10_000 }, () => newId("x", 1))).size).toBe(10_000);
    expect(ids[0]).toMatch(/^leaf_[0-9a-z]{26}$/);
  });
});

describe("reading processes", () => {
  it("tells a process from a later one with the same pid", async () => {
    const child = spawn("sleep", ["300"], { stdio: "ignore" });
    const pid = child.pid ?? 0;
    const ticks = processStartTicks(pid) ?? "";
    expect([isSameProcess(pid, ticks), isSameProcess(pid, `${Number(ticks) + 1}`)]).toEqual([true, false]);
    expect(childrenOf(process.pid)).toContain(pid);
    expect(commandLine(pid)).toEqual(["sleep", "300"]);
    expect(pidNamespace(pid)).toBe(pidNamespace());
    expect(residentBytes(process.pid)).toBeGreaterThan(10_000_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect([isSameProcess(pid, ticks), processStartTicks(pid), commandLine(pid), pidNamespace(pid)]).toEqual([false, undefined, [], ""]);
  });
});
