-- Begin the log of one site, unless there is one.
--
-- KEYS[1] head     hash: genesis epoch seq hash last_id batch cursor owner
-- KEYS[2] events   stream; where one lies without a head, something was lost
--
-- ARGV[1] genesis  the name of the new log
-- ARGV[2] hash     the hash before the first event
--
-- Returns one of
--   OK genesis       the genesis that stands, the caller's or an older one
--   FOREIGN what     no log may begin here

local kind = redis.call('TYPE', KEYS[1])
kind = kind.ok or kind
if kind == 'hash' then
    local genesis = redis.call('HGET', KEYS[1], 'genesis')
    if not genesis then
        return {'FOREIGN', 'its head is damaged'}
    end
    return {'OK', genesis}
end
if kind ~= 'none' then
    return {'FOREIGN', KEYS[1] .. ' holds a ' .. kind}
end
if redis.call('EXISTS', KEYS[2]) == 1 then
    return {'FOREIGN', 'events lie there without a head'}
end
redis.call('HSET', KEYS[1], 'genesis', ARGV[1], 'epoch', '0', 'seq', '0', 'hash', ARGV[2],
    'last_id', '0-0', 'batch', '', 'cursor', '0-0', 'owner', '')
return {'OK', ARGV[1]}
