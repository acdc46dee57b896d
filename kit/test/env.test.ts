import { describe, expect, it } from "vitest";
import { ConfigError, EnvReader, exitCodeOf, exitCodeOfSignal } from "../env.ts";

describe("reading settings", () => {
  it("takes defaults where a variable is unset or empty", () => {
    const env = new EnvReader({ A: "" });
    expect([env.string("A", "x"), env.integer("B", 5, 1, 9), env.flag("C", true), env.choice("D", "u", ["u", "v"])]).toEqual([
      "x",
      5,
      true,
      "u",
    ]);
    expect(env.done("config")).toBe("config");
  });

  it("names every variable that can't be used, at once", () => {
    const env = new EnvReader({ PORT: "70000", MODE: "fast", ON: "maybe", COUNT: "1.5" });
    env.integer("PORT", 1, 0, 65535);
    env.choice("MODE", "slow", ["slow", "medium"]);
    env.flag("ON", false);
    env.integer("COUNT", 1, 0, 9);
    env.required("KEY", "put it into the environment");
    expect(() => env.done({})).toThrow(/PORT.*0 to 65535\nMODE.*slow, medium\nON.*\nCOUNT.*whole number.*\nKEY is not set: put it/s);
  });

  it("tells a wrong setting from a defect by the exit code", () => {
    expect([exitCodeOf(new ConfigError("x")), exitCodeOf(new Error("x")), exitCodeOfSignal("SIGTERM")]).toEqual([64, 1, 143]);
  });
});
