import { expect, test } from "vitest";
import { readSandboxLabels } from "../sandbox-labels.ts";

test("labels are pairs with commas between, whose values may be empty or hold more signs of equality", () => {
  expect(readSandboxLabels("")).toEqual({});
  expect(readSandboxLabels(" gpu=a100, image = python-build,,spot=,flags=a=b ")).toEqual({
    gpu: "a100",
    image: "python-build",
    spot: "",
    flags: "a=b",
  });
});

test("an entry that is no label is named, with the limit that it breaks", () => {
  const many = Array.from({ length: 33 }, (_, i) => `l${i}=x`).join(",");
  expect(readSandboxLabels("gpu=a100,fast")).toBe('"fast" is no label: write NAME=VALUE, as gpu=a100');
  expect(readSandboxLabels("gpu=a,gpu=b")).toBe('"gpu" is there twice');
  expect(readSandboxLabels("=a100")).toBe("labels[]: the name must be 1 to 128 characters");
  expect(readSandboxLabels(`gpu=${"x".repeat(129)}`)).toBe("labels[gpu]: the value must be at most 128 characters");
  expect(readSandboxLabels("gpu=a\u0007")).toBe("labels[gpu]: must hold no control characters and no line ends");
  expect(readSandboxLabels("gpu=a\nimage=b")).toBe("labels[gpu]: must hold no control characters and no line ends");
  expect(readSandboxLabels(many)).toBe("labels: must be at most 32");
});
