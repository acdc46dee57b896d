import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { writeImage } from "../../cluster/image.ts";

test("an image of a program has the same bytes whenever it is made, and every blob has the digest that it is called by", async () => {
  const directory = mkdtempSync(join(tmpdir(), "leaf-image-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, "program");
  writeFileSync(program, "#!/bin/true\n", { mode: 0o755 });
  const archives = [join(directory, "one.tar"), join(directory, "two.tar")] as const;
  await writeImage({ name: "localhost/program:test", program, args: ["serve"] }, archives[0]);
  utimesSync(program, 0, 0);
  await writeImage({ name: "localhost/program:test", program, args: ["serve"] }, archives[1]);
  expect(readFileSync(archives[0]).equals(readFileSync(archives[1]))).toBe(true);

  execFileSync("tar", ["-xf", archives[0]], { cwd: directory });
  const index = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
  expect(index.manifests[0].annotations).toEqual({ "io.containerd.image.name": "localhost/program:test" });
  const blobs = join(directory, "blobs", "sha256");
  const digests = readdirSync(blobs);
  expect(digests).toHaveLength(3);
  for (const digest of digests)
    expect(
      createHash("sha256")
        .update(readFileSync(join(blobs, digest)))
        .digest("hex"),
    ).toBe(digest);
});
