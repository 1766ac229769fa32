-- Say that a member lives, and learn who else does.
--
-- KEYS[1] members  sorted set: names, each with the time (ms of this server) it is believed until
--
-- ARGV[1] name     of the member
-- ARGV[2] ttl      ms; 0: it leaves
--
-- Returns the names of the living, in no order that means anything.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZRANGE', KEYS[1], 0, -1)
