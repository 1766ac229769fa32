-- The only way into the log of one site: append a whole batch of events, or nothing.
--
-- KEYS[1] events    stream, entry id <commit ms>-<seq>, fields as wire.py writes them
-- KEYS[2] head      hash: genesis epoch server seq hash last_id batch cursor owner
-- KEYS[3] answers   stream, capped, ids by Redis
-- KEYS[4] commands  stream, read here only up to the cursor and trimmed below it
--
-- ARGV[1] genesis   the log that the writer means
-- ARGV[2] epoch     the epoch that the writer claimed
-- ARGV[3] seq       the seq that the writer believes to be the last
-- ARGV[4] hash      and its hash, 16 hex digits
-- ARGV[5] batch     id of this append; the same id again returns the first result
-- ARGV[6] cursor    last command whose effect this batch holds; '' leaves the cursor
-- ARGV[7] ms        commit time of all events; it is part of their ids and hashes
-- ARGV[8] hash after the batch, 16 hex digits
-- ARGV[9] skew      how many ms the commit time may lie from the clock
-- ARGV[10] cap      about so many answers are kept
-- ARGV[11] events   how many follow; ARGV[12] answers, how many follow those
-- ARGV[13] forms    how many sequences of field names there are among them
-- ARGV[14..]        for each form: count of its names, then these; for each event and answer: number
--                   of its form, then its values
--
-- Returns one of
--   OK seq hash last_id         written
--   DUPLICATE seq hash last_id  this batch was the last one written
--   FOREIGN what                another log, none, or one changed past this script
--   FENCED epoch                a newer epoch began, or this one did on another server
--   CONFLICT seq hash           the log ends elsewhere
--   CLOCK ms                    commit time is off; the writer uses this one
--   INVALID what                the arguments contradict themselves
--
-- A script is not rolled back, so every check stands before the first write.

local HEADER = 13
local MAX_FIELDS = 64  -- unpack has a limit, and must not meet it half way
local genesis, epoch, seq, hash = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local batch, cursor, ms, hash_after = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local skew, cap = tonumber(ARGV[9]), ARGV[10]
local event_count, answer_count = tonumber(ARGV[11]), tonumber(ARGV[12])
local form_count = tonumber(ARGV[13])

local function split(id)
    local left, right = string.match(id, '^(%d+)%-(%d+)$')
    return tonumber(left), tonumber(right)
end

local function is_before(a, b)
    local a_ms, a_number = split(a)
    local b_ms, b_number = split(b)
    return a_ms < b_ms or (a_ms == b_ms and a_number < b_number)
end

-- Another one after each restart and promotion; '' where it does not say.
local function server_id()
    local info = redis.pcall('INFO', 'replication')
    return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
end

local function type_of(key)
    local kind = redis.call('TYPE', key)
    return kind.ok or kind
end

if type_of(KEYS[2]) ~= 'hash' then
    return {'FOREIGN', 'there is no log'}
end
local head = redis.call('HMGET', KEYS[2], 'genesis', 'epoch', 'seq', 'hash', 'last_id', 'batch',
    'cursor', 'server')
for i = 1, 7 do
    if not head[i] then
        return {'FOREIGN', 'its head is damaged'}
    end
end
local last_id = head[5]
if head[1] ~= genesis then
    return {'FOREIGN', 'it has genesis ' .. head[1]}
end
if batch ~= '' and head[6] == batch then
    redis.call('HSET', KEYS[2], 'batch', batch)  -- so that WAIT behind it speaks of the batch
    return {'DUPLICATE', head[3], head[4], last_id}
end
if head[2] ~= epoch or head[8] ~= server_id() then
    return {'FENCED', head[2]}
end
if head[3] ~= seq or head[4] ~= hash then
    return {'CONFLICT', head[3], head[4]}
end

local tail = {}
local events_type = type_of(KEYS[1])
if events_type == 'stream' then
    tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')
end
if not tail[1] and (seq ~= '0' or events_type ~= 'none' and events_type ~= 'stream') then
    return {'FOREIGN', 'its events are gone'}
end
if tail[1] and tail[1][1] ~= last_id then
    return {'FOREIGN', 'its last event is ' .. tail[1][1] .. ' where the head says ' .. last_id}
end
for i = 3, 4 do
    local kind = type_of(KEYS[i])
    if kind ~= 'stream' and kind ~= 'none' then
        return {'FOREIGN', KEYS[i] .. ' holds a ' .. kind}
    end
end

if not string.match(ms, '^%d+$') then
    return {'INVALID', 'commit time'}
end
if event_count > 0 then
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    local last_ms = split(last_id)
    local wanted = math.max(now, last_ms)
    if tonumber(ms) < last_ms or math.abs(tonumber(ms) - wanted) > skew then
        return {'CLOCK', string.format('%.0f', wanted)}
    end
end

if batch == '' then
    return {'INVALID', 'batch id'}
end
if cursor ~= '' and (not split(cursor) or is_before(cursor, head[7])) then
    return {'INVALID', 'cursor'}
end
local forms, at = {}, HEADER
for i = 1, form_count do
    local count = tonumber(ARGV[at + 1])
    if not count or count < 1 or count > MAX_FIELDS or at + 1 + count > #ARGV then
        return {'INVALID', 'counts'}
    end
    local entry = {}
    for n = 1, count do
        entry[2 * n - 1], entry[2 * n] = ARGV[at + 1 + n], false
    end
    forms[i] = {entry = entry, count = count}
    at = at + 1 + count
end
local entries = {}
for i = 1, event_count + answer_count do
    local form = forms[tonumber(ARGV[at + 1])]
    if not form then
        return {'INVALID', 'form'}
    end
    entries[i] = {form, at + 1}
    at = at + 1 + form.count
end
if at ~= #ARGV then
    return {'INVALID', 'counts'}
end

-- Names and values of an event or answer in turn.
local function words_of(i)
    local form, behind = entries[i][1], entries[i][2]
    local entry = form.entry
    for n = 1, form.count do
        entry[2 * n] = ARGV[behind + n]
    end
    return unpack(entry, 1, 2 * form.count)
end

local last_seq = tonumber(seq)
for i = 1, event_count do
    last_seq = last_seq + 1
    last_id = ms .. '-' .. string.format('%.0f', last_seq)
    redis.call('XADD', KEYS[1], last_id, words_of(i))
end
for i = event_count + 1, event_count + answer_count do
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', cap, '*', words_of(i))
end
if cursor == '' then
    cursor = head[7]
else
    redis.call('XTRIM', KEYS[4], 'MINID', cursor)
end
seq = string.format('%.0f', last_seq)
redis.call('HSET', KEYS[2], 'seq', seq, 'hash', hash_after, 'last_id', last_id, 'batch', batch,
    'cursor', cursor)
return {'OK', seq, hash_after, last_id}
