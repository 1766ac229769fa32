-- Say that replicas hold the log up to an event, so that edges may act on it.
--
-- KEYS[1] head     hash: genesis epoch ... committed committed_hash
--
-- ARGV[1] genesis  the log that the writer means
-- ARGV[2] epoch    the epoch that the writer claimed
-- ARGV[3] seq      the last event that replicas hold
-- ARGV[4] hash     and its hash
--
-- Returns one of
--   OK            said; the mark never goes back
--   FENCED epoch  a newer epoch began; whoever leads now says it
--   FOREIGN what  another log, or none

local kind = redis.call('TYPE', KEYS[1])
if (kind.ok or kind) ~= 'hash' then
    return {'FOREIGN', 'there is no log'}
end
local head = redis.call('HMGET', KEYS[1], 'genesis', 'epoch', 'committed')
if head[1] ~= ARGV[1] then
    return {'FOREIGN', 'it has genesis ' .. tostring(head[1])}
end
if head[2] ~= ARGV[2] then
    return {'FENCED', head[2]}
end
if tonumber(head[3] or '-1') < tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], 'committed', ARGV[3], 'committed_hash', ARGV[4])
end
return {'OK'}
