-- Say how one site fares at its allocator; forgotten unless it is said again.
--
-- KEYS[1] status  hash
--
-- ARGV[1] ttl     ms
-- ARGV[2..]       names and values in turn

redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
