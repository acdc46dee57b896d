import { describe, test } from "vitest";
import { leafStoreConformance } from "../testing/index.ts";
import { redisCluster, redisServer } from "../testing/redis-vitest.ts";
import { redisFixture } from "./redis-fixture.ts";

const server = redisServer();
const cluster = redisCluster();

const addresses: Readonly<Record<string, () => string>> = {
  "Redis in one partition": () => server().freshUrl("partitions=1"),
  "Redis in 16 partitions": () => server().freshUrl("partitions=16"),
  "a Redis Cluster": () => cluster().freshUrl(),
};

for (const [where, address] of Object.entries(addresses)) {
  const cases = leafStoreConformance(() => redisFixture(address()), where !== "a Redis Cluster");
  for (const group of new Set(cases.map((each) => each.group))) {
    describe(`a leaf store on ${where}: ${group}`, () => {
      for (const each of cases.filter((candidate) => candidate.group === group)) test(each.name, () => each.run());
    });
  }
}
