-- Queue commands for the allocator, all or none; refuse when too many entries wait.
--
-- KEYS[1] commands  stream
--
-- ARGV[1] limit     entries that may wait
-- ARGV[2] fleeting  1 where a restart of the server may lose them: they go neither to its disk nor
--                   to replicas
-- ARGV[3] head      key of the hash that tells the cursor, of the same slot. It is only read, and
--                   edges may do no more; for what is among KEYS they would have to be let write it
-- ARGV[4..]         for each entry: count of its names and values, then these in turn
--
-- Returns the id of the last entry, or nothing when the queue is full.

local function split(id)
    local left, right = string.match(id, '^(%d+)%-(%d+)$')
    return tonumber(left), tonumber(right)
end

local waiting = redis.call('XLEN', KEYS[1])
local cursor_ms, cursor_number = split(redis.call('HGET', ARGV[3], 'cursor') or '0-0')
local limit, at, starts = tonumber(ARGV[1]), 4, {}
while at <= #ARGV do
    starts[#starts + 1] = at
    at = at + 1 + tonumber(ARGV[at])
end
if waiting + #starts > limit then
    return false
end

local function is_read(id)
    local ms, number = split(id)
    return ms < cursor_ms or (ms == cursor_ms and number <= cursor_number)
end

local function add(id, start)
    return redis.call('XADD', KEYS[1], id, unpack(ARGV, start + 1, start + tonumber(ARGV[start])))
end

if ARGV[2] == '1' and redis.set_repl then  -- fakeredis has neither disk nor replicas
    redis.set_repl(redis.REPL_NONE)
end
local id
for i, start in ipairs(starts) do
    id = add('*', start)
    if is_read(id) then  -- a server that lost entries, and whose clock is behind, gives ids again
        id = add(string.format('%.0f-%.0f', cursor_ms, cursor_number + 1), start)
    end
end
return id
