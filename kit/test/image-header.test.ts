import { describe, expect, test } from "vitest";
import { imageProblem } from "../image-header.ts";
import { gif, jpeg, png, WEBP } from "../testing/index.ts";

const PICTURES: ReadonlyArray<readonly [kind: string, file: Buffer]> = [
  ["PNG", png(300, 200)],
  ["JPEG", jpeg()],
  ["GIF", gif()],
  ["lossy WebP", WEBP.lossy],
  ["lossless WebP", WEBP.lossless],
];

describe("a picture", () => {
  test.each(PICTURES)("of kind %s is taken, and not if it is cut short at any place", (_kind, file) => {
    expect(imageProblem(file)).toBeUndefined();
    for (let length = 0; length < file.length - 1; length++) {
      expect(imageProblem(file.subarray(0, length))).toMatch(/^is (?:damaged|no picture)/);
    }
  });

  test("with a wrong byte is damaged", () => {
    const file = png(300, 200);
    for (let at = 12; at < file.length; at++) {
      const wrong = Buffer.from(file);
      wrong[at] = (wrong[at] ?? 0) ^ 0x55;
      expect(imageProblem(wrong)).toBeDefined();
    }
  });

  test.each([
    ["as a PNG", png(8001, 1), "is too large: 8001 x 1 pixels, at most 8000 on a side"],
    ["as a JPEG", jpeg(1, 9000), "is too large: 1 x 9000 pixels"],
    ["as a GIF", gif(9000, 9000), "is too large: 9000 x 9000 pixels"],
    ["of no size", gif(0, 1), "is empty: 0 x 1 pixels"],
    ["that is a text", Buffer.from("hello"), "is no picture that models take: use image/png"],
  ])("%s is told with what is wrong", (_what, file, problem) => {
    expect(imageProblem(file)).toContain(problem);
  });

  test("at the limit is taken", () => {
    expect(imageProblem(png(8000, 1))).toBeUndefined();
  });
});
