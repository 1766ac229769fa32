-- Take or renew the leadership of one site; whoever newly takes it begins a new epoch.
--
-- A leadership ends with the server that it was taken on: a promoted replica has a copy of it, and
-- others may be led to the old master still.
--
-- KEYS[1] leader   string with a time to live: who leads
-- KEYS[2] head     hash: genesis epoch server ... owner
-- KEYS[3] events   stream; what does not end where the head says is led by nobody
--
-- ARGV[1] owner    names one life of one process
-- ARGV[2] ttl      ms until the leadership lapses unless it is renewed
-- ARGV[3] genesis  the log that the claimant means
-- ARGV[4] above    an epoch that was seen elsewhere: the claimant's must be newer
-- ARGV[5] dead     a leader who counts as nobody any more; "" for none
-- ARGV[6] replicas how many have to hold what the claimant writes: the head gets a mark up to
--                  where they do; with 0 it goes
--
-- Returns one of
--   OK epoch is_new   the caller leads; is_new is 1 or 0
--   HELD owner ttl    another leads, for so many ms more (-1: without end)
--   FOREIGN what      another log, none, or one that has lost its last event
--
-- Every check stands before the first write.

-- Another one after each restart and promotion; '' where it does not say.
local function server_id()
    local info = redis.pcall('INFO', 'replication')
    return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
end

local kind = redis.call('TYPE', KEYS[2])
if (kind.ok or kind) ~= 'hash' then
    return {'FOREIGN', 'there is no log'}
end
local head = redis.call('HMGET', KEYS[2], 'genesis', 'epoch', 'owner', 'committed', 'seq', 'hash',
    'last_id', 'server')
if not (head[1] and head[2] and head[3] and head[5] and head[7]) then
    return {'FOREIGN', 'its head is damaged'}
end
if head[1] ~= ARGV[3] then
    return {'FOREIGN', 'it has genesis ' .. head[1]}
end
if head[5] ~= '0' then
    kind = redis.call('TYPE', KEYS[3])
    local tail = (kind.ok or kind) == 'stream'
        and redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', '1')[1]
    if not tail then
        return {'FOREIGN', 'its events are gone'}
    end
    if tail[1] ~= head[7] then
        return {'FOREIGN', 'its last event is ' .. tail[1] .. ' where the head says ' .. head[7]}
    end
end
local leader = redis.call('GET', KEYS[1])
local server = server_id()
if leader == ARGV[5] or head[8] ~= server then
    leader = false
end
if leader and leader ~= ARGV[1] then
    return {'HELD', leader, string.format('%.0f', redis.call('PTTL', KEYS[1]))}
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local above = tonumber(ARGV[4])
if leader and head[3] == ARGV[1] and tonumber(head[2]) > above then
    return {'OK', head[2], '0'}
end
local epoch = string.format('%.0f', math.max(tonumber(head[2]), above) + 1)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'owner', ARGV[1], 'server', server)
if ARGV[6] == '0' and head[4] then
    redis.call('HDEL', KEYS[2], 'committed', 'committed_hash')
elseif ARGV[6] ~= '0' and not head[4] then
    redis.call('HSET', KEYS[2], 'committed', head[5], 'committed_hash', head[6])
end
return {'OK', epoch, '1'}
