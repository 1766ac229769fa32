-- Queue commands for the allocator, all or none; refuse when too many wait.
--
-- KEYS[1] commands  stream, ids by Redis
--
-- ARGV[1] limit     commands that may wait
-- ARGV[2..]         for each command: count of its names and values, then these in turn
--
-- Returns the entry ids, or nothing when the queue is full.

local waiting = redis.call('XLEN', KEYS[1])
local limit, at, starts = tonumber(ARGV[1]), 2, {}
while at <= #ARGV do
    starts[#starts + 1] = at
    at = at + 1 + tonumber(ARGV[at])
end
if waiting + #starts > limit then
    return {}
end
local ids = {}
for i, start in ipairs(starts) do
    ids[i] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, start + 1, start + tonumber(ARGV[start])))
end
return ids
