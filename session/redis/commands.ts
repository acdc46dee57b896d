/**
 * What the scripts and the client call, here and in Pi's sessions. A Redis whose operator took one of them away is refused when a store is
 * opened, and not in the middle of a leaf.
 */
export const COMMANDS: readonly string[] = [
  ...["del", "eval", "evalsha", "exists", "expire", "get", "persist", "pexpire", "publish", "set", "subscribe", "time", "unlink"],
  ...["hdel", "hexists", "hget", "hgetall", "hincrby", "hkeys", "hmget", "hrandfield", "hscan", "hset", "hsetnx"],
  ...["lrange", "rpush", "sadd", "sismember", "smembers", "spop", "srem"],
  ...["xadd", "xdel", "xlen", "xrange"],
  ...["zadd", "zcard", "zcount", "zlexcount", "zmscore", "zpopmin", "zrange", "zrangebyscore"],
  ...["zrem", "zremrangebyrank", "zremrangebyscore", "zrevrangebylex", "zscore"],
];
